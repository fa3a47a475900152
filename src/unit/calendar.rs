//! Calendar expressions: systemd.time(7), "Calendar Events". [`Calendar::parse`] reads one, its `Display` is the normal
//! form, [`Calendar::next`] is the next time of a clock on the wall, and [`Calendar::next_in`] that of a time zone.

use std::fmt;

use serde::{Serialize, Serializer};

mod next;
mod parse;
mod zoned;

/// Times that come again: what a `[[timer]]` has as `on-calendar`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Bit 0 is Monday.
    weekdays: u8,
    year: Component,
    month: Component,
    day: Component,
    /// Days are counted from the end of the month, which is 1.
    from_end: bool,
    hour: Component,
    minute: Component,
    /// In microseconds.
    second: Component,
    /// Whose clock it is about.
    pub zone: Zone,
}

/// Whose clock a calendar is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zone {
    /// The machine's own.
    Local,
    /// UTC.
    Utc,
    /// One by its name in the time zone database: `Europe/Berlin`.
    Named(Box<str>),
}

/// Values of one place of a calendar; none: all of them.
type Component = Vec<Part>;

/// One value; with `last` those up to it; with `step` each of so many from the first on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    first: u32,
    last: Option<u32>,
    step: Option<u32>,
}

const EVERY_DAY: u8 = 0x7f;
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MICROS_A_SECOND: u32 = 1_000_000;

/// Each whole second.
const EACH_SECOND: Part = Part {
    first: 0,
    last: None,
    step: Some(MICROS_A_SECOND),
};

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.weekdays != EVERY_DAY {
            write!(f, "{} ", weekday_text(self.weekdays))?;
        }
        let before_day = if self.from_end { '~' } else { '-' };
        write_component(f, &self.year, 4)?;
        f.write_str("-")?;
        write_component(f, &self.month, 2)?;
        write!(f, "{before_day}")?;
        write_component(f, &self.day, 2)?;
        f.write_str(" ")?;
        write_component(f, &self.hour, 2)?;
        f.write_str(":")?;
        write_component(f, &self.minute, 2)?;
        f.write_str(":")?;
        write_seconds(f, &self.second)?;
        match &self.zone {
            Zone::Local => Ok(()),
            Zone::Utc => f.write_str(" UTC"),
            Zone::Named(name) => write!(f, " {name}"),
        }
    }
}

impl Serialize for Calendar {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Three days or more in a row are a range.
fn weekday_text(days: u8) -> String {
    let is_in = |day: usize| days & (1 << day) != 0;
    let name = |day: usize| WEEKDAYS.get(day).copied().unwrap_or_default();
    let mut words = Vec::new();
    let mut day = 0;
    while day < WEEKDAYS.len() {
        let end = (day..WEEKDAYS.len()).find(|day| !is_in(*day)).unwrap_or(WEEKDAYS.len());
        match end - day {
            0 => {}
            1 | 2 => words.extend((day..end).map(|day| name(day).to_owned())),
            _ => words.push(format!("{}..{}", name(day), name(end - 1))),
        }
        day = end + 1;
    }
    words.join(",")
}

fn write_component(f: &mut fmt::Formatter<'_>, component: &Component, width: usize) -> fmt::Result {
    write_parts(
        f,
        component,
        |number| format!("{number:0width$}"),
        |step| step.to_string(),
    )
}

fn write_seconds(f: &mut fmt::Formatter<'_>, component: &Component) -> fmt::Result {
    if component.as_slice() == [EACH_SECOND] {
        return f.write_str("*");
    }
    let fraction = |micros: u32| match micros % MICROS_A_SECOND {
        0 => String::new(),
        fraction => format!(".{fraction:06}"),
    };
    let number = |micros: u32| format!("{:02}{}", micros / MICROS_A_SECOND, fraction(micros));
    let step = |micros: u32| format!("{}{}", micros / MICROS_A_SECOND, fraction(micros));
    write_parts(f, component, number, step)
}

fn write_parts(
    f: &mut fmt::Formatter<'_>,
    component: &Component,
    number: impl Fn(u32) -> String,
    step: impl Fn(u32) -> String,
) -> fmt::Result {
    if component.is_empty() {
        return f.write_str("*");
    }
    for (nth, part) in component.iter().enumerate() {
        let comma = if nth == 0 { "" } else { "," };
        write!(f, "{comma}{}", number(part.first))?;
        if let Some(last) = part.last {
            write!(f, "..{}", number(last))?;
        }
        if let Some(each) = part.step {
            write!(f, "/{}", step(each))?;
        }
    }
    Ok(())
}
