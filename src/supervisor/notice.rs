//! What svcd itself has to say: a tracing subscriber that writes a line to standard error, and waits for nobody.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::os::fd::BorrowedFd;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use super::console::Console;

/// What is said, and where: svcd has one thread.
struct Notices {
    /// Lines up to this level are written.
    level: Level,
    console: Console,
}

thread_local! {
    static NOTICES: RefCell<Notices> = const { RefCell::new(Notices { level: Level::INFO, console: Console::new() }) };
}

/// The level that `SVCD_LOG` names: error, warn, info or debug.
fn wanted() -> Option<Level> {
    std::env::var("SVCD_LOG").ok()?.parse().ok()
}

/// Sends what svcd has to say to standard error from here on. A second call changes nothing.
pub fn to_stderr() {
    if let Some(level) = wanted() {
        NOTICES.with_borrow_mut(|notices| notices.level = level);
    }
    // It fails only where a subscriber is set already, which then stays.
    drop(tracing::subscriber::set_global_default(Lines));
}

/// Says from here on only what is wrong, unless `SVCD_LOG` names a level.
pub fn be_quiet() {
    if wanted().is_none() {
        NOTICES.with_borrow_mut(|notices| notices.level = Level::WARN);
    }
}

/// Writes what was not taken before, as far as it is now.
pub fn flush() {
    NOTICES.with_borrow_mut(|notices| notices.console.flush());
}

/// Shows where lines go, and whether some wait for that to be writable.
pub fn look_at_console(look: impl FnOnce(BorrowedFd<'_>, bool)) {
    NOTICES.with_borrow(|notices| look(notices.console.fd(), notices.console.is_behind()));
}

struct Lines;

impl Subscriber for Lines {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The level changes.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        NOTICES.with_borrow(|notices| *metadata.level() <= notices.level)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::from("svcd: "));
        if *event.metadata().level() <= Level::WARN {
            text.0.push_str(if *event.metadata().level() == Level::ERROR {
                "error: "
            } else {
                "warning: "
            });
        }
        event.record(&mut text);
        let mut line = harmless(text.0);
        line.push('\n');
        NOTICES.with_borrow_mut(|notices| notices.console.say(&line));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// What a process calls itself may hold what a terminal obeys: control characters are written out.
fn harmless(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let written = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(written).collect()
}

/// The message first, then each field as `name=value`.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_given_nothing_to_obey() {
        assert_eq!(harmless("web: 47 größer".into()), "web: 47 größer");
        assert_eq!(harmless("a\n\x1b[2Jb".into()), "a\\n\\u{1b}[2Jb");
    }
}
