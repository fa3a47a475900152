//! The time in front of each line: RFC 3339, UTC, microseconds, always as wide, so that lines sort as text.

use std::path::Path;

use jiff::tz::TimeZone;
use rustix::time::{ClockId, clock_gettime};

/// Bytes of a stamp with the blank after it: `2026-11-24T03:37:13.123456Z `.
pub const WIDTH: usize = 28;

const SECONDS_A_DAY: i64 = 86_400;

/// Microseconds since 1970-01-01 UTC, now. The log process reads its own clocks: it is no part of svcd's loop.
pub fn now() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000)
}

/// Since boot, for deadlines.
pub fn monotonic() -> std::time::Duration {
    let now = clock_gettime(ClockId::Monotonic);
    std::time::Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The machine's time zone, or the one that TZ names; tzset(3). UTC where there is none.
pub fn zone() -> TimeZone {
    // jiff is built without its database, which looks through all of /usr/share/zoneinfo to open one file of it. So it
    // reads /etc/localtime and knows rules, and a name in TZ is looked up here.
    let by_name = || zone_named(&std::env::var("TZ").ok()?);
    TimeZone::try_system().ok().or_else(by_name).unwrap_or(TimeZone::UTC)
}

/// As [`zone`], by /etc/localtime as it is now: what [`zone`] gives may be minutes old.
pub fn zone_now() -> TimeZone {
    let read = || TimeZone::tzif("Local", &std::fs::read("/etc/localtime").ok()?).ok();
    match std::env::var_os("TZ") {
        Some(_) => zone(),
        None => read().unwrap_or(TimeZone::UTC),
    }
}

/// A time zone by its name: `Europe/Berlin`; tzfile(5). None: the machine does not have it.
pub fn zone_named(name: &str) -> Option<TimeZone> {
    named(Path::new("/usr/share/zoneinfo"), name)
}

fn named(zones: &Path, name: &str) -> Option<TimeZone> {
    let name = name.trim_start_matches(':');
    TimeZone::tzif(name, &std::fs::read(zones.join(name)).ok()?).ok()
}

/// The stamp of a time. A clock outside of the years 0 to 9999 is shown as the nearest that is not.
pub fn text(micros: i64) -> String {
    const YEAR_0: i64 = -62_167_219_200;
    const YEAR_10000: i64 = 253_402_300_800;
    let seconds = micros.div_euclid(1_000_000).clamp(YEAR_0, YEAR_10000 - 1);
    let (year, month, day) = civil(seconds.div_euclid(SECONDS_A_DAY));
    let second = seconds.rem_euclid(SECONDS_A_DAY);
    let (hour, minute, second, micros) = (
        second / 3600,
        second / 60 % 60,
        second % 60,
        micros.rem_euclid(1_000_000),
    );
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z ")
}

/// Takes a line apart into its time and its text; None if it does not begin with a stamp.
pub fn split(line: &[u8]) -> Option<(i64, &[u8])> {
    let (stamp, rest) = line.split_first_chunk::<WIDTH>()?;
    let [
        y @ ..,
        b'-',
        m0,
        m1,
        b'-',
        d0,
        d1,
        b'T',
        h0,
        h1,
        b':',
        n0,
        n1,
        b':',
        s0,
        s1,
        b'.',
        u0,
        u1,
        u2,
        u3,
        u4,
        u5,
        b'Z',
        b' ',
    ] = stamp
    else {
        return None;
    };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0i64, |sum, d| {
            d.is_ascii_digit().then(|| sum * 10 + i64::from(d - b'0'))
        })
    };
    let day = days(number(y)?, number(&[*m0, *m1])?, number(&[*d0, *d1])?);
    let second = number(&[*h0, *h1])? * 3600 + number(&[*n0, *n1])? * 60 + number(&[*s0, *s1])?;
    let micros = number(&[*u0, *u1, *u2, *u3, *u4, *u5])?;
    Some(((day * SECONDS_A_DAY + second) * 1_000_000 + micros, rest))
}

/// Year, month and day of a day number, in the Gregorian calendar taken back to the year 0. Years are counted from
/// March here, so that the leap day is a year's last, and months follow a straight line of 153 days for five.
fn civil(day: i64) -> (i64, i64, i64) {
    const DAYS_IN_400_YEARS: i64 = 146_097;
    /// From 0000-03-01 to 1970-01-01.
    const EPOCH: i64 = 719_468;
    let day = day + EPOCH;
    let era = day.div_euclid(DAYS_IN_400_YEARS);
    let of_era = day.rem_euclid(DAYS_IN_400_YEARS);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// The day number of a date: what [`civil`] takes.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as tzfile(5) has it: no change ever, and a rule for all times.
    #[test]
    fn a_zone_is_found_by_its_name() {
        let head = |version: &[u8]| [b"TZif", version, &[0; 34], &[1, 0, 0, 0, 4]].concat();
        let hour_east = [&3600_i32.to_be_bytes()[..], &[0, 0], b"CET\0"].concat();
        let file = [
            head(b"2"),
            hour_east.clone(),
            head(b"2"),
            hour_east,
            b"\nCET-1\n".to_vec(),
        ]
        .concat();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("Europe")).unwrap();
        std::fs::write(dir.path().join("Europe/Oslo"), file).unwrap();
        for name in ["Europe/Oslo", ":Europe/Oslo"] {
            let zone = named(dir.path(), name).unwrap();
            assert_eq!(zone.to_offset(jiff::Timestamp::UNIX_EPOCH).seconds(), 3600);
        }
        for name in ["Mars/Base", "Europe", ""] {
            assert_eq!(named(dir.path(), name), None, "{name}");
        }
    }

    #[test]
    fn there_and_back_as_another_calendar_has_it() {
        let mut micros = -62_167_219_200_000_000;
        while micros < 253_402_300_800_000_000 {
            let ours = text(micros);
            let theirs = jiff::Timestamp::from_microsecond(micros).unwrap();
            assert_eq!(ours, format!("{theirs:.6} "));
            assert_eq!(ours.len(), WIDTH);
            assert_eq!(split(format!("{ours}x y").as_bytes()), Some((micros, &b"x y"[..])));
            micros += 86_399_123_457 * 41;
        }
    }

    #[test]
    fn a_clock_gone_mad_has_a_stamp_too() {
        for micros in [i64::MIN, i64::MAX] {
            assert_eq!(text(micros).len(), WIDTH);
        }
    }

    #[test]
    fn what_is_no_stamp() {
        for line in [
            "",
            "x",
            "2026-11-24T03:37:13.123456Z",
            "2026-11-24T03:37:13.12345aZ x",
            "2026-11-24 03:37:13.123456Z x",
        ] {
            assert_eq!(split(line.as_bytes()), None, "{line}");
        }
    }
}
