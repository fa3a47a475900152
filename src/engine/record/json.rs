//! Values as JSON text and back: what plain types look like, and how structs and enums are made of them.
//!
//! What is blank (nothing, nought, empty) is left out, and what is left out is blank: so a newer version may add fields,
//! and an older one does not mind them.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::engine::event::{Mono, Wall};
use crate::engine::restart::{Budget, Jitter};
use crate::engine::{JobId, UnitId};
use crate::unit::Signal;

/// What can be written out and read back: `read(write(x)) == x`.
pub trait Saved: Sized {
    /// Appends it as JSON.
    fn write(&self, out: &mut String);

    /// None: this is none, or none that this version knows.
    fn read(value: &Value) -> Option<Self>;

    /// It need not be written, since [`Saved::absent`] is it.
    fn is_blank(&self) -> bool {
        false
    }

    /// What a field is that is not there. None: it must be there.
    fn absent() -> Option<Self> {
        None
    }
}

/// A JSON object that is being written.
pub struct Object<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> Object<'a> {
    /// Opens it.
    pub fn new(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, first: true }
    }

    /// Appends a field, unless its value is blank.
    pub fn field(&mut self, name: &str, value: &impl Saved) {
        if value.is_blank() {
            return;
        }
        self.name(name);
        value.write(self.out);
    }

    /// Closes it.
    pub fn end(self) {
        self.out.push('}');
    }

    fn name(&mut self, name: &str) {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(',');
        }
        write_text(name, self.out);
        self.out.push(':');
    }
}

/// A field of an object that was read.
pub fn field<T: Saved>(object: &Map<String, Value>, name: &str) -> Option<T> {
    object.get(name).map_or_else(T::absent, T::read)
}

/// Appends a text, quoted and escaped.
pub fn write_text(text: &str, out: &mut String) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Value::from(text).to_string());
    }
}

/// A variant of an enum that is being written: only with the first field it becomes more than a name.
pub struct Variant<'a> {
    name: &'static str,
    out: &'a mut String,
    with_fields: bool,
}

impl<'a> Variant<'a> {
    /// Opens it.
    pub fn new(name: &'static str, out: &'a mut String) -> Self {
        Self {
            name,
            out,
            with_fields: false,
        }
    }

    /// Appends a field, unless its value is blank.
    pub fn field(&mut self, name: &str, value: &impl Saved) {
        if value.is_blank() {
            return;
        }
        if std::mem::replace(&mut self.with_fields, true) {
            self.out.push(',');
        } else {
            self.out.push('{');
            write_text(self.name, self.out);
            self.out.push_str(":{");
        }
        write_text(name, self.out);
        self.out.push(':');
        value.write(self.out);
    }

    /// Closes it.
    pub fn end(self) {
        if self.with_fields {
            self.out.push_str("}}");
        } else {
            write_text(self.name, self.out);
        }
    }
}

/// The name of a variant, and its fields.
pub fn variant_of(value: &Value) -> Option<(&str, &Map<String, Value>)> {
    static NO_FIELDS: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    if let Some(name) = value.as_str() {
        return Some((name, &NO_FIELDS));
    }
    let (name, fields) = value.as_object()?.iter().next()?;
    Some((name, fields.as_object()?))
}

/// Numbers that JSON holds as they are.
macro_rules! saved_numbers {
    ($($type:ty),*) => {$(
        impl Saved for $type {
            fn write(&self, out: &mut String) {
                out.push_str(&self.to_string());
            }
            fn read(value: &Value) -> Option<Self> {
                let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))?;
                Self::try_from(number).ok()
            }
            fn is_blank(&self) -> bool {
                *self == 0
            }
            fn absent() -> Option<Self> {
                Some(0)
            }
        }
    )*};
}
saved_numbers!(u8, u32, u64, i32, i64);

/// The place of a command in its list. One that no list has is none.
impl Saved for u16 {
    fn write(&self, out: &mut String) {
        u32::from(*self).write(out);
    }
    fn read(value: &Value) -> Option<Self> {
        u32::read(value)
            .and_then(|nth| Self::try_from(nth).ok())
            .filter(|nth| *nth < Self::MAX)
    }
    fn is_blank(&self) -> bool {
        *self == 0
    }
    fn absent() -> Option<Self> {
        Some(0)
    }
}

/// New types over one value.
macro_rules! saved_as_inner {
    ($($type:ident),*) => {$(
        impl Saved for $type {
            fn write(&self, out: &mut String) {
                self.0.write(out);
            }
            fn read(value: &Value) -> Option<Self> {
                Saved::read(value).map(Self)
            }
            fn is_blank(&self) -> bool {
                self.0.is_blank()
            }
            fn absent() -> Option<Self> {
                Saved::absent().map(Self)
            }
        }
    )*};
}
saved_as_inner!(UnitId, JobId, Signal, Mono, Wall, Budget, Jitter);

impl Saved for bool {
    fn write(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
    fn read(value: &Value) -> Option<Self> {
        value.as_bool()
    }
    fn is_blank(&self) -> bool {
        !*self
    }
    fn absent() -> Option<Self> {
        Some(false)
    }
}

impl Saved for Box<str> {
    fn write(&self, out: &mut String) {
        write_text(self, out);
    }
    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(Into::into)
    }
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

/// The phases that a run can time out in.
impl Saved for &'static str {
    fn write(&self, out: &mut String) {
        write_text(self, out);
    }
    fn read(value: &Value) -> Option<Self> {
        const PHASES: [&str; 4] = ["start", "stop", "runtime", "reload"];
        let text = value.as_str()?;
        PHASES.into_iter().find(|phase| *phase == text)
    }
}

/// `[seconds, nanoseconds]`. What no clock reaches is none, so that adding to one that was read overflows nothing.
impl Saved for Duration {
    fn write(&self, out: &mut String) {
        (self.as_secs(), self.subsec_nanos()).write(out);
    }
    fn read(value: &Value) -> Option<Self> {
        const SECONDS_MAX: u64 = 1 << 60;
        let (seconds, nanos) = <(u64, u32)>::read(value)?;
        (seconds <= SECONDS_MAX && nanos < 1_000_000_000).then(|| Self::new(seconds, nanos))
    }
    fn is_blank(&self) -> bool {
        self.is_zero()
    }
    fn absent() -> Option<Self> {
        Some(Self::ZERO)
    }
}

impl<T: Saved> Saved for Option<T> {
    fn write(&self, out: &mut String) {
        match self {
            Some(value) => value.write(out),
            None => out.push_str("null"),
        }
    }
    fn read(value: &Value) -> Option<Self> {
        if value.is_null() {
            Some(None)
        } else {
            T::read(value).map(Some)
        }
    }
    fn is_blank(&self) -> bool {
        self.is_none()
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<A: Saved, B: Saved> Saved for (A, B) {
    fn write(&self, out: &mut String) {
        out.push('[');
        self.0.write(out);
        out.push(',');
        self.1.write(out);
        out.push(']');
    }
    fn read(value: &Value) -> Option<Self> {
        match value.as_array()?.as_slice() {
            [a, b] => Some((A::read(a)?, B::read(b)?)),
            _ => None,
        }
    }
}

/// Lists.
macro_rules! saved_lists {
    ($($type:ident),*) => {$(
        impl<T: Saved> Saved for $type<T> {
            fn write(&self, out: &mut String) {
                out.push('[');
                for (place, item) in self.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            fn read(value: &Value) -> Option<Self> {
                value.as_array()?.iter().map(T::read).collect()
            }
            fn is_blank(&self) -> bool {
                self.is_empty()
            }
            fn absent() -> Option<Self> {
                Some(Self::default())
            }
        }
    )*};
}
saved_lists!(Vec, VecDeque);
