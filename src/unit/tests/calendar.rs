//! Calendar expressions against known answers: the normal forms are those of systemd.time(7).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::unit::calendar::Calendar;

fn calendar(text: &str) -> Calendar {
    Calendar::parse(text).unwrap_or_else(|why| panic!("{why}"))
}

/// systemd.time(7), "Calendar Events", the two tables of examples; and what systemd-analyze(1) prints of others.
const NORMAL_FORMS: &[(&str, &str)] = &[
    ("Sat,Thu,Mon..Wed,Sat..Sun", "Mon..Thu,Sat,Sun *-*-* 00:00:00"),
    ("Mon,Sun 12-*-* 2,1:23", "Mon,Sun 2012-*-* 01,02:23:00"),
    ("Wed *-1", "Wed *-*-01 00:00:00"),
    ("Wed..Wed,Wed *-1", "Wed *-*-01 00:00:00"),
    ("Wed, 17:48", "Wed *-*-* 17:48:00"),
    ("Wed..Sat,Tue 12-10-15 1:2:3", "Tue..Sat 2012-10-15 01:02:03"),
    ("*-*-7 0:0:0", "*-*-07 00:00:00"),
    ("10-15", "*-10-15 00:00:00"),
    ("monday *-12-* 17:00", "Mon *-12-* 17:00:00"),
    ("Mon,Fri *-*-3,1,2 *:30:45", "Mon,Fri *-*-01,02,03 *:30:45"),
    ("12,14,13,12:20,10,30", "*-*-* 12,13,14:10,20,30:00"),
    ("12..14:10,20,30", "*-*-* 12..14:10,20,30:00"),
    ("03-05 08:05:40", "*-03-05 08:05:40"),
    ("08:05:40", "*-*-* 08:05:40"),
    ("05:40", "*-*-* 05:40:00"),
    ("Sat,Sun 12-05 08:05:40", "Sat,Sun *-12-05 08:05:40"),
    ("Sat,Sun 08:05:40", "Sat,Sun *-*-* 08:05:40"),
    ("2003-03-05 05:40", "2003-03-05 05:40:00"),
    ("05:40:23.4200004/3.1700005", "*-*-* 05:40:23.420000/3.170001"),
    ("2003-02..04-05", "2003-02..04-05 00:00:00"),
    ("2003-03-05 05:40 UTC", "2003-03-05 05:40:00 UTC"),
    ("2003-03-05", "2003-03-05 00:00:00"),
    ("03-05", "*-03-05 00:00:00"),
    ("minutely", "*-*-* *:*:00"),
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("daily UTC", "*-*-* 00:00:00 UTC"),
    ("monthly", "*-*-01 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("weekly Pacific/Auckland", "Mon *-*-* 00:00:00 Pacific/Auckland"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("semiannually", "*-01,07-01 00:00:00"),
    ("*:2/3", "*-*-* *:02/3:00"),
    ("*-02~03", "*-02~03 00:00:00"),
    ("Mon *-05~07/1", "Mon *-05~07/1 00:00:00"),
    ("*:*:*", "*-*-* *:*:*"),
    ("2003-03-05T05:40", "2003-03-05 05:40:00"),
    ("@1395716396", "2014-03-25 02:59:56 UTC"),
];

#[test]
fn the_normal_forms_of_systemd_and_they_read_back() {
    for (text, normal) in NORMAL_FORMS {
        let parsed = calendar(text);
        assert_eq!(parsed.to_string(), *normal, "{text}");
        assert_eq!(calendar(normal), parsed, "{text}");
    }
}

#[test]
fn what_is_no_calendar() {
    for (text, part) in [
        ("", "empty"),
        ("daily daily daily", "at most a time zone"),
        ("Mun *-*-*", "`Mun` is no day of the week"),
        ("Wed..Mon", "ends before it begins"),
        ("25:00", "`25` is no hour: 0 to 23"),
        ("12:60", "minute"),
        ("12:00:60", "second: 0 to 59"),
        ("13-01", "month"),
        ("*-*-32", "day"),
        ("*-*~29", "day from the end of a month"),
        ("12:00:00:00", "hours, minutes and seconds"),
        ("*:*/5", "`0/5`"),
        ("*:0/0", "leads nowhere"),
        ("*:0/60", "leads nowhere"),
        ("10..5:00", "ends before it begins"),
        ("99999999999:00", "hour"),
        ("12:1.5", "minute"),
        ("12:00 Europe//Berlin", "time zone"),
        ("12:00 ../etc/passwd", "no date"),
        ("tomorrow", "no day of the week"),
        ("@x", "no time"),
        ("@1 UTC", "stands alone"),
        (&"1,".repeat(600), "1024"),
    ] {
        let why = Calendar::parse(text).unwrap_err();
        assert!(why.contains(part), "{text}: {why}");
    }
}

#[test]
fn next_times() {
    for (text, after, next) in [
        ("minutely", "2026-11-29T10:00:00", "2026-11-29T10:01:00"),
        ("*:*:*", "2026-11-29T10:00:00.5", "2026-11-29T10:00:01"),
        ("hourly", "2026-12-31T23:00:00", "2027-01-01T00:00:00"),
        ("03:00", "2026-11-29T02:59:59.999999", "2026-11-29T03:00:00"),
        ("03:00", "2026-11-29T03:00:00", "2026-11-30T03:00:00"),
        ("Mon..Fri 10:00", "2026-11-27T10:00:00", "2026-11-30T10:00:00"),
        ("monthly", "2026-01-31T00:00:00", "2026-02-01T00:00:00"),
        ("quarterly", "2026-10-01T00:00:00", "2027-01-01T00:00:00"),
        ("*-02-29", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("*-*-31", "2026-02-01T00:00:00", "2026-03-31T00:00:00"),
        // The last day of a month, and the last Monday of May.
        ("*-*~1", "2027-02-01T00:00:00", "2027-02-28T00:00:00"),
        ("*-*~1", "2028-02-28T00:00:00", "2028-02-29T00:00:00"),
        ("Mon *-05~07/1", "2026-05-01T00:00:00", "2026-05-25T00:00:00"),
        ("*-*~3..1", "2026-11-29T00:00:00", "2026-11-30T00:00:00"),
        ("*:0/15", "2026-11-29T10:14:00", "2026-11-29T10:15:00"),
        ("*:0/15", "2026-11-29T10:45:00", "2026-11-29T11:00:00"),
        ("8..10/2:30", "2026-11-29T08:30:00", "2026-11-29T10:30:00"),
        ("8..10/2:30", "2026-11-29T10:30:00", "2026-11-30T08:30:00"),
        ("*:*:0.5/20", "2026-11-29T10:00:01", "2026-11-29T10:00:20.5"),
        ("Fri *-*-13 00:00", "2026-11-29T00:00:00", "2027-08-13T00:00:00"),
        ("2030-01-01", "1999-01-01T00:00:00", "2030-01-01T00:00:00"),
        ("*-*-1..7 Europe/Berlin", "2026-11-29T00:00:00", "2026-12-01T00:00:00"),
    ] {
        let after: DateTime = after.parse().unwrap();
        let expected: DateTime = next.parse().unwrap();
        assert_eq!(calendar(text).next(after), Some(expected), "{text} after {after}");
    }
    for never in ["2003-03-05", "*-02-30", "Mon 2026-11-29"] {
        assert_eq!(
            calendar(never).next("2026-11-29T00:00:00".parse().unwrap()),
            None,
            "{never}"
        );
    }
}

/// Central Europe: forward at 02:00 on the last Sunday of March, back at 03:00 on that of October.
const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

#[test]
fn clocks_that_are_put_forward_and_back() {
    let zone = TimeZone::posix(BERLIN).unwrap();
    for (text, after, times) in [
        // Not there on that day: an hour later, and once.
        (
            "02:30",
            "2026-03-29T00:00:00Z",
            &["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"][..],
        ),
        (
            "hourly",
            "2026-03-28T23:30:00Z",
            &["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"],
        ),
        // Twice there on that day: the first time, but for what comes every hour.
        (
            "02:30",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        ),
        (
            "03:00",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T02:00:00Z", "2026-10-26T02:00:00Z"],
        ),
        (
            "*:30",
            "2026-10-24T23:45:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"],
        ),
        ("daily", "2026-10-24T23:00:00Z", &["2026-10-25T23:00:00Z"]),
        ("*-07-01 12:00", "2026-10-24T23:00:00Z", &["2027-07-01T10:00:00Z"]),
    ] {
        let mut at: Timestamp = after.parse().unwrap();
        for expected in times {
            let next = calendar(text).next_in(&zone, at).unwrap();
            assert_eq!(next, expected.parse().unwrap(), "{text} after {at}");
            at = next;
        }
    }
    assert_eq!(
        calendar("2003-03-05").next_in(&zone, "2026-01-01T00:00:00Z".parse().unwrap()),
        None
    );
}

#[test]
fn no_text_is_a_panic() {
    use proptest::prelude::*;
    let text = "[a-zA-Z0-9*,./:~@ -]{0,24}";
    proptest!(|(text in text, second in -10_000_000_000_i64..10_000_000_000)| {
        if let Ok(calendar) = Calendar::parse(&text) {
            prop_assert_eq!(&Calendar::parse(&calendar.to_string()).unwrap(), &calendar);
            let zone = TimeZone::posix(BERLIN).unwrap();
            let at = Timestamp::from_second(second).unwrap();
            if let Some(next) = calendar.next_in(&zone, at) {
                prop_assert!(next > at);
            }
        }
    });
}
