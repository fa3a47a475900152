//! Text to [`Calendar`]. What is wrong is said in one line.

use super::{Calendar, Component, EACH_SECOND, EVERY_DAY, MICROS_A_SECOND, Part, WEEKDAYS, Zone};

type Parsed<T> = Result<T, Box<str>>;

/// The words of systemd.time(7) that stand for a whole expression.
const SHORTHANDS: [(&str, &str); 13] = [
    ("minutely", "*-*-* *:*:00"),
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("semiannually", "*-01,07-01 00:00:00"),
    ("semi-annually", "*-01,07-01 00:00:00"),
    ("biannually", "*-01,07-01 00:00:00"),
    ("bi-annually", "*-01,07-01 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
    ("anually", "*-01-01 00:00:00"),
];

/// What a component may be.
#[derive(Clone, Copy)]
struct Range {
    name: &'static str,
    min: u32,
    max: u32,
}

const YEAR: Range = range("year", super::next::YEAR_MIN, super::next::YEAR_MAX);
const MONTH: Range = range("month", 1, 12);
const DAY: Range = range("day", 1, 31);
/// Each month has as many.
const DAY_FROM_END: Range = range("day from the end of a month", 1, 28);
const HOUR: Range = range("hour", 0, 23);
const MINUTE: Range = range("minute", 0, 59);
const SECOND: Range = range("second", 0, 60 * MICROS_A_SECOND - 1);

const fn range(name: &'static str, min: u32, max: u32) -> Range {
    Range { name, min, max }
}

impl Calendar {
    /// Longer than any that says something.
    const BYTES_MAX: usize = 1024;

    /// Reads `Mon..Fri *-*-* 10:00:00 UTC`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Parsed<Self> {
        if text.len() > Self::BYTES_MAX {
            return Err("a calendar expression has at most 1024 characters".into());
        }
        parse(text).map_err(|why| format!("`{text}` is no calendar expression: {why}").into())
    }
}

fn parse(text: &str) -> Parsed<Calendar> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let first = words.first().ok_or("it is empty")?.to_ascii_lowercase();
    if let Some((_, meaning)) = SHORTHANDS.iter().find(|(word, _)| *word == first) {
        let mut calendar = parse(meaning)?;
        match words.as_slice() {
            [_] => {}
            [_, name] => calendar.zone = zone(name)?,
            _ => return Err(format!("after `{first}` comes at most a time zone").into()),
        }
        return Ok(calendar);
    }
    let mut calendar = Calendar {
        weekdays: EVERY_DAY,
        year: Component::new(),
        month: Component::new(),
        day: Component::new(),
        from_end: false,
        hour: vec![ZERO],
        minute: vec![ZERO],
        second: vec![ZERO],
        zone: Zone::Local,
    };
    let is_name = |word: &&str| word.starts_with(|c: char| c.is_ascii_alphabetic());
    if words.len() > 1 && words.last().is_some_and(is_name) {
        calendar.zone = zone(words.pop().unwrap_or_default())?;
    }
    let mut words = words.into_iter().peekable();
    if let Some(seconds) = words.peek().and_then(|word| word.strip_prefix('@')) {
        return at_timestamp(seconds, words.len() == 1 && calendar.zone == Zone::Local);
    }
    if let Some(days) = words.next_if(is_name) {
        calendar.weekdays = weekdays(days)?;
    }
    // `T` between a date and a time, as in RFC 3339.
    let rest: Vec<&str> = words.flat_map(|word| word.split('T')).collect();
    let mut rest = rest.into_iter().peekable();
    if let Some(date) = rest.next_if(|word| word.contains(['-', '~'])) {
        parse_date(date, &mut calendar)?;
    }
    if let Some(time) = rest.next_if(|word| word.contains(':')) {
        parse_time(time, &mut calendar)?;
    }
    match rest.next() {
        None => Ok(calendar),
        Some(word) => Err(format!("`{word}` is no date with `-`, no time with `:`, and no time zone").into()),
    }
}

const ZERO: Part = Part {
    first: 0,
    last: None,
    step: None,
};

fn zone(name: &str) -> Parsed<Zone> {
    if name == "UTC" {
        return Ok(Zone::Utc);
    }
    let letters = |c: u8| c.is_ascii_alphanumeric() || b"/_+-".contains(&c);
    let good = name.len() <= 64 && name.bytes().all(letters) && !name.contains("//") && !name.ends_with('/');
    if good {
        Ok(Zone::Named(name.into()))
    } else {
        Err(format!("`{name}` is no time zone").into())
    }
}

/// `@SECONDS` since 1970-01-01 UTC: one time, once.
fn at_timestamp(seconds: &str, alone: bool) -> Parsed<Calendar> {
    let wrong = || format!("`@{seconds}` is no time");
    let number: i64 = seconds.parse().map_err(|_| wrong())?;
    let time = jiff::Timestamp::from_second(number).map_err(|_| wrong())?;
    if !alone {
        return Err("`@SECONDS` stands alone".into());
    }
    parse(&format!("{} UTC", time.strftime("%Y-%m-%d %H:%M:%S")))
}

fn weekdays(list: &str) -> Parsed<u8> {
    let mut days = 0_u8;
    let mut parts: Vec<&str> = list.split(',').collect();
    // `Wed, 17:48`
    if parts.len() > 1 && parts.last() == Some(&"") {
        parts.pop();
    }
    for part in parts {
        let ends = part.split_once("..").or_else(|| part.split_once('-'));
        let (first, last) = match ends {
            Some((first, last)) => (weekday(first)?, weekday(last)?),
            None => (weekday(part)?, weekday(part)?),
        };
        if first > last {
            return Err(format!("`{part}` ends before it begins").into());
        }
        days |= (first..=last).map(|day| 1_u8 << day).sum::<u8>();
    }
    Ok(days)
}

fn weekday(name: &str) -> Parsed<usize> {
    const FULL: [&str; 7] = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let lower = name.to_ascii_lowercase();
    let is = |day: &usize| {
        WEEKDAYS
            .get(*day)
            .is_some_and(|short| short.eq_ignore_ascii_case(&lower))
            || FULL.get(*day) == Some(&lower.as_str())
    };
    let found = (0..WEEKDAYS.len()).find(is);
    found.ok_or_else(|| format!("`{name}` is no day of the week").into())
}

/// `YEAR-MONTH-DAY`, `MONTH-DAY`, with `~` before a day that is counted from the end of its month.
fn parse_date(text: &str, calendar: &mut Calendar) -> Parsed<()> {
    let (months, days) = match text.split_once('~') {
        Some((months, days)) => {
            calendar.from_end = true;
            (months, days)
        }
        None => text.rsplit_once('-').ok_or("a date has a month and a day")?,
    };
    let day = if calendar.from_end { DAY_FROM_END } else { DAY };
    calendar.day = component(days, day)?;
    match months.split_once('-') {
        None => calendar.month = component(months, MONTH)?,
        Some((years, months)) => {
            calendar.month = component(months, MONTH)?;
            calendar.year = component(years, YEAR)?;
        }
    }
    Ok(())
}

/// `HOUR:MINUTE`, `HOUR:MINUTE:SECOND`.
fn parse_time(text: &str, calendar: &mut Calendar) -> Parsed<()> {
    let mut places = text.split(':');
    calendar.hour = component(places.next().unwrap_or_default(), HOUR)?;
    calendar.minute = component(places.next().unwrap_or_default(), MINUTE)?;
    if let Some(seconds) = places.next() {
        calendar.second = component(seconds, SECOND)?;
    }
    match places.next() {
        None => Ok(()),
        Some(_) => Err("a time has hours, minutes and seconds".into()),
    }
}

/// A list of values, ranges and steps, in order and each once.
fn component(text: &str, range: Range) -> Parsed<Component> {
    if text == "*" {
        return Ok(if range.max == SECOND.max {
            vec![EACH_SECOND]
        } else {
            Component::new()
        });
    }
    let mut parts: Component = text.split(',').map(|part| one(part, range)).collect::<Parsed<_>>()?;
    parts.sort_unstable();
    parts.dedup();
    Ok(parts)
}

fn one(text: &str, range: Range) -> Parsed<Part> {
    let (values, step) = match text.split_once('/') {
        Some((values, step)) => (values, Some(number(step, range)?)),
        None => (text, None),
    };
    if values == "*" {
        return Err(format!("`*` has no step: `{}/{}`", range.min, text.trim_start_matches("*/")).into());
    }
    let (first, last) = match values.split_once("..") {
        Some((first, last)) => (value(first, range)?, Some(value(last, range)?)),
        None => (value(values, range)?, None),
    };
    // The third to the last day of a month, whichever end is named first.
    let (first, last) = match last {
        Some(last) if range.name == DAY_FROM_END.name && last > first => (last, Some(first)),
        _ => (first, last),
    };
    let counts_down = range.name == DAY_FROM_END.name;
    if last.is_some_and(|last| if counts_down { last > first } else { last < first }) {
        return Err(format!("`{text}` ends before it begins").into());
    }
    if let Some(step) = step {
        let end = last.unwrap_or(if counts_down { range.min } else { range.max });
        if step == 0 || step > end.abs_diff(first) {
            return Err(format!("`{text}` has a step that leads nowhere").into());
        }
    }
    Ok(Part { first, last, step })
}

fn value(text: &str, range: Range) -> Parsed<u32> {
    let mut value = number(text, range)?;
    // Two digits of a year: 1970 to 2069.
    if range.name == YEAR.name && text.len() <= 2 {
        value += if value >= 70 { 1900 } else { 2000 };
    }
    if (range.min..=range.max).contains(&value) {
        Ok(value)
    } else {
        let unit = if range.max == SECOND.max { MICROS_A_SECOND } else { 1 };
        Err(format!(
            "`{text}` is no {}: {} to {}",
            range.name,
            range.min / unit,
            range.max / unit
        )
        .into())
    }
}

/// A whole number; of seconds one with a fraction, in microseconds.
fn number(text: &str, range: Range) -> Parsed<u32> {
    let wrong = || format!("`{text}` is no {}", range.name);
    let digits = |text: &str| !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if range.max == SECOND.max => (whole, Some(fraction)),
        Some(_) => return Err(wrong().into()),
        None => (text, None),
    };
    if !digits(whole) || fraction.is_some_and(|fraction| !digits(fraction)) {
        return Err(wrong().into());
    }
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    if range.max != SECOND.max {
        return Ok(whole);
    }
    // Nine digits are nanoseconds, which are rounded.
    let nanoseconds: u32 = format!("{:0<9}", fraction.unwrap_or_default()).parse().unwrap_or(0);
    let rounded = nanoseconds / 1000 + u32::from(nanoseconds % 1000 >= 500);
    let micros = u64::from(whole) * u64::from(MICROS_A_SECOND) + u64::from(rounded);
    u32::try_from(micros).map_err(|_| wrong().into())
}
