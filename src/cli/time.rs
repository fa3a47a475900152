//! The command line's clock: now, the times that people write, and the times that people read.

use std::time::Duration;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, ZonedDateTime};

use crate::log;

/// Now, in microseconds since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

/// A time that a person wrote, in microseconds since 1970: `10 min ago`, `1h`, `2026-11-24 03:00`, `03:00` (today),
/// `today`, `yesterday`, `now`, or RFC 3339. Without a zone it is the machine's own.
///
/// # Errors
/// Says which forms there are.
pub fn parse(text: &str) -> Result<i64, String> {
    parse_at(text, &Timestamp::now().to_zoned_datetime(log::zone())).ok_or_else(|| {
        format!("`{text}` is no time; write `10 min ago`, `2026-11-24 03:00`, `03:00`, `today` or `yesterday`")
    })
}

fn parse_at(text: &str, now: &ZonedDateTime) -> Option<i64> {
    let text = text.trim();
    let local = |time: DateTime| time.to_zoned_datetime(now.time_zone().clone()).ok();
    let zoned = match text {
        "now" => Some(now.clone()),
        "today" => now.start_of_day().ok(),
        "yesterday" => now.yesterday().ok()?.start_of_day().ok(),
        _ => {
            if let Ok(timestamp) = text.parse::<Timestamp>() {
                return Some(timestamp.as_microsecond());
            }
            if let Ok(time) = text.parse::<DateTime>() {
                local(time)
            } else if let Ok(time) = text.parse::<Time>() {
                local(now.date().to_datetime(time))
            } else {
                let back = text.strip_suffix("ago").unwrap_or(text).trim();
                let span: Span = back.parse().ok()?;
                now.checked_sub(span.abs()).ok()
            }
        }
    };
    zoned.map(|zoned| zoned.timestamp().as_microsecond())
}

/// A stretch of time that a person wrote: `30s`, `1m 30s`, or a number of seconds.
///
/// # Errors
/// Says which forms there are.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write `30s`, `1m 30s` or a number of seconds");
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    let signed: SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(signed).map_err(|_| wrong())
}

/// A time as the contract writes it, in microseconds since 1970.
pub fn of_contract(text: &str) -> Option<i64> {
    Some(text.parse::<Timestamp>().ok()?.as_microsecond())
}

/// For people: `2026-11-24 03:00:00`, in the machine's own zone.
pub fn local(microseconds: i64) -> String {
    local_in(microseconds, log::zone(), false)
}

/// The same with milliseconds: `2026-11-24 03:00:00.123`.
pub fn local_exact(microseconds: i64) -> String {
    local_in(microseconds, log::zone(), true)
}

fn local_in(microseconds: i64, zone: TimeZone, exact: bool) -> String {
    let time = Timestamp::from_microsecond(microseconds)
        .unwrap_or_default()
        .to_zoned_datetime(zone)
        .datetime();
    let date = time.date();
    let clock = time.time();
    let seconds = format!("{date} {:02}:{:02}:{:02}", clock.hour(), clock.minute(), clock.second());
    if exact {
        format!("{seconds}.{:03}", clock.millisecond())
    } else {
        seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_times_in_many_ways() {
        let zone = TimeZone::posix("CET-1").unwrap();
        let now = "2026-11-24T12:30:00Z"
            .parse::<Timestamp>()
            .unwrap()
            .to_zoned_datetime(zone);
        for (text, time) in [
            ("now", "2026-11-24T12:30:00Z"),
            ("today", "2026-11-23T23:00:00Z"),
            ("yesterday", "2026-11-22T23:00:00Z"),
            ("10 min ago", "2026-11-24T12:20:00Z"),
            ("10m", "2026-11-24T12:20:00Z"),
            ("1h 30m ago", "2026-11-24T11:00:00Z"),
            ("2 days ago", "2026-11-22T12:30:00Z"),
            ("03:00", "2026-11-24T02:00:00Z"),
            ("2026-11-24 03:00", "2026-11-24T02:00:00Z"),
            ("2026-11-24 03:00:01", "2026-11-24T02:00:01Z"),
            ("2026-11-24", "2026-11-23T23:00:00Z"),
            ("2026-11-24T03:00:00Z", "2026-11-24T03:00:00Z"),
            ("2026-11-24T03:00:00+02:00", "2026-11-24T01:00:00Z"),
        ] {
            assert_eq!(parse_at(text, &now), of_contract(time), "{text}");
        }
        for text in ["", "soon", "25:00", "ago", "10 parsecs ago"] {
            assert_eq!(parse_at(text, &now), None, "{text}");
        }
    }

    #[test]
    fn people_write_durations() {
        for (text, milliseconds) in [
            ("30", Some(30_000)),
            ("1m 30s", Some(90_000)),
            ("250ms", Some(250)),
            ("-1s", None),
            ("", None),
            ("soon", None),
        ] {
            assert_eq!(parse_duration(text).ok().map(|d| d.as_millis()), milliseconds, "{text}");
        }
    }

    #[test]
    fn people_read_times() {
        let zone = || TimeZone::posix("CET-1").unwrap();
        assert_eq!(local_in(1_795_428_000_123_456, zone(), false), "2026-11-23 11:00:00");
        assert_eq!(local_in(1_795_428_000_123_456, zone(), true), "2026-11-23 11:00:00.123");
    }
}
