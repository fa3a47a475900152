//! How things look: columns, colours, numbers and times for people, and text of others made harmless.
//!
//! Colour is always written; the stream takes it out again where no terminal reads, or where nobody wants it.

use std::fmt::{self, Write as _};
use std::io;

use anstyle::{AnsiColor, Style};

use crate::control::view::State;

/// What is beside the point.
pub const DIM: Style = Style::new().dimmed();
/// What a line is about.
pub const BOLD: Style = Style::new().bold();
/// What runs.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What is under way.
pub const MOVING: Style = AnsiColor::Yellow.on_default();
/// What went wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// As it comes.
pub const PLAIN: Style = Style::new();

/// Told apart on a dark and on a light ground, none of them with a meaning of its own.
const UNIT_COLOURS: [AnsiColor; 8] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightGreen,
    AnsiColor::BrightMagenta,
];

/// The colour of a unit's name: the same one each time, on each machine (FNV-1a).
pub fn unit_style(unit: &str) -> Style {
    let hash = unit.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let place = hash as usize % UNIT_COLOURS.len();
    UNIT_COLOURS.get(place).map_or(PLAIN, |colour| colour.on_default())
}

/// How a state looks.
pub fn state_style(state: State) -> Style {
    match state {
        State::Running => GOOD,
        State::Waiting | State::Starting | State::Stopping => MOVING,
        State::Failed | State::Backoff | State::Blocked => BAD,
        State::Inactive | State::Skipped | State::Masked => DIM,
    }
}

/// A text in a style.
pub fn paint(style: Style, text: impl fmt::Display) -> String {
    if style == PLAIN {
        text.to_string()
    } else {
        format!("{style}{text}{style:#}")
    }
}

/// A piece of a row, or of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
    right: bool,
}

/// A cell as it comes.
pub fn cell(text: impl Into<String>) -> Cell {
    Cell {
        text: text.into(),
        style: PLAIN,
        right: false,
    }
}

/// A number: its column is aligned at the right. None: a dash.
pub fn number(value: Option<impl fmt::Display>) -> Cell {
    Cell {
        text: value.map_or_else(|| "-".to_owned(), |value| value.to_string()),
        style: PLAIN,
        right: true,
    }
}

impl Cell {
    /// The same in a style.
    pub fn style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }
}

/// Rows whose columns begin at the same place, two spaces apart.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with a head.
    pub fn new(head: &[&str]) -> Self {
        let head = head.iter().map(|word| cell(*word).style(DIM)).collect();
        Self { rows: vec![head] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Prints it. A head stands over numbers as they do: at the right.
    pub fn print(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let column = |nth: usize| self.rows.iter().filter_map(move |row| row.get(nth));
        let widths: Vec<usize> = (0..columns)
            .map(|nth| column(nth).map(|c| c.text.chars().count()).max().unwrap_or(0))
            .collect();
        let right: Vec<bool> = (0..columns).map(|nth| column(nth).skip(1).any(|c| c.right)).collect();
        for row in &self.rows {
            let mut line = String::new();
            let mut gap = 0;
            for ((cell, width), right) in row.iter().zip(&widths).zip(&right) {
                let fill = width - cell.text.chars().count();
                let (before, after) = if *right { (fill, 0) } else { (0, fill) };
                let painted = paint(cell.style, &cell.text);
                // Spaces wait until something follows them: no line ends in one.
                if !cell.text.is_empty() {
                    let _ = write!(line, "{:1$}{painted}", "", gap + before);
                    gap = after + 2;
                } else {
                    gap += width + 2;
                }
            }
            writeln!(to, "{line}")?;
        }
        Ok(())
    }
}

/// Bytes as units write them, with one decimal below 100: `1.5M`, `64M`, `512B`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if count < 1024 {
        return format!("{count}B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = "K";
    for next in UNITS.iter().skip(1) {
        // 1023.95 would print as 1024.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let tenths = (value * 10.0).round() / 10.0;
    if tenths >= 100.0 || tenths.fract() == 0.0 {
        format!("{value:.0}{unit}")
    } else {
        format!("{value:.1}{unit}")
    }
}

/// A number with one decimal where it has any.
pub fn decimal(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// A stretch of time in its two biggest units: `350ms`, `12s`, `3min 20s`, `2h 5min`, `4d 3h`.
pub fn stretch(milliseconds: i64) -> String {
    let whole = milliseconds.max(0);
    let (seconds, minutes, hours, days) = (whole / 1000, whole / 60_000, whole / 3_600_000, whole / 86_400_000);
    let two = |big: i64, big_word: &str, small: i64, small_word: &str| {
        if small == 0 {
            format!("{big}{big_word}")
        } else {
            format!("{big}{big_word} {small}{small_word}")
        }
    };
    match whole {
        0..1000 => format!("{whole}ms"),
        1000..60_000 => format!("{seconds}s"),
        60_000..3_600_000 => two(minutes, "min", seconds % 60, "s"),
        3_600_000..86_400_000 => two(hours, "h", minutes % 60, "min"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

/// One line of somebody else's text, fit for a terminal: what would move the cursor, or worse, is shown instead of done.
pub fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for letter in text.chars() {
        push_harmless(&mut harmless, letter);
    }
    harmless
}

/// The same, but colours stay: `ESC [ … m` with numbers in between, ended with a reset.
pub fn harmless_coloured(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    let mut rest = text;
    let mut coloured = false;
    while let Some(letter) = rest.chars().next() {
        if let Some((colour, after)) = split_colour(rest) {
            harmless.push_str(colour);
            rest = after;
            coloured = true;
        } else {
            push_harmless(&mut harmless, letter);
            rest = rest.strip_prefix(letter).unwrap_or_default();
        }
    }
    if coloured {
        harmless.push_str("\x1b[0m");
    }
    harmless
}

/// `ESC [ digits and ; m` at the start of a text, and what follows it.
fn split_colour(text: &str) -> Option<(&str, &str)> {
    let numbers = text.strip_prefix("\x1b[")?;
    let after = numbers
        .trim_start_matches(|c: char| c.is_ascii_digit() || c == ';' || c == ':')
        .strip_prefix('m')?;
    text.split_at_checked(text.len() - after.len())
}

fn push_harmless(to: &mut String, letter: char) {
    // Besides the control characters: those that turn the direction of writing around (Unicode, "Bidi_Control").
    let turns =
        matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}');
    match letter {
        '\t' => to.push('\t'),
        letter if letter.is_control() || turns => to.extend(letter.escape_default()),
        letter => to.push(letter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_no_line_ends_in_a_space() {
        let mut table = Table::new(&["UNIT", "PID", "TEXT"]);
        table.row(vec![cell("web"), number(Some(4711)), cell("up").style(GOOD)]);
        table.row(vec![cell("a-longer-one"), number(None::<u32>), cell("")]);
        let mut plain = anstream::AutoStream::never(Vec::new());
        table.print(&mut plain).unwrap();
        assert_eq!(
            String::from_utf8(plain.into_inner()).unwrap(),
            "UNIT           PID  TEXT\n\
             web           4711  up\n\
             a-longer-one     -\n"
        );
        let mut coloured = Vec::new();
        table.print(&mut coloured).unwrap();
        let line = String::from_utf8(coloured).unwrap().lines().nth(1).unwrap().to_owned();
        assert_eq!(line, "web           4711  \x1b[32mup\x1b[0m");
    }

    #[test]
    fn bytes_are_short() {
        for (count, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1K"),
            (1536, "1.5K"),
            (1_212_416, "1.2M"),
            (67_108_864, "64M"),
            (130 << 20, "130M"),
            ((1 << 30) - 1, "1G"),
            (u64::MAX, "16384P"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn stretches_have_two_units() {
        for (milliseconds, text) in [
            (-5, "0ms"),
            (350, "350ms"),
            (12_900, "12s"),
            (200_000, "3min 20s"),
            (180_000, "3min"),
            (7_500_000, "2h 5min"),
            (356_400_000, "4d 3h"),
        ] {
            assert_eq!(stretch(milliseconds), text);
        }
    }

    #[test]
    fn the_text_of_others_cannot_touch_the_terminal() {
        for (text, shown, coloured) in [
            ("plain\tü", "plain\tü", "plain\tü"),
            ("\x1b[31mred", "\\u{1b}[31mred", "\x1b[31mred\x1b[0m"),
            ("\x1b[2Jgone", "\\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("a\rb\u{9b}1m", "a\\rb\\u{9b}1m", "a\\rb\\u{9b}1m"),
            ("\u{202e}txt", "\\u{202e}txt", "\\u{202e}txt"),
            ("\x1b[", "\\u{1b}[", "\\u{1b}["),
        ] {
            assert_eq!(harmless(text), shown);
            assert_eq!(harmless_coloured(text), coloured);
        }
    }

    #[test]
    fn a_unit_keeps_its_colour() {
        assert_eq!(unit_style("web"), unit_style("web"));
        let different: std::collections::BTreeSet<String> = ["web", "db", "crash", "busy", "hungry"]
            .iter()
            .map(|unit| unit_style(unit).render().to_string())
            .collect();
        assert!(different.len() >= 3, "{different:?}");
    }
}
