//! Timers against clocks of the tests' own.

use super::*;

const HOUR: i64 = 3_600_000_000;

fn now(hours: f64) -> Now {
    Now {
        mono: Mono(Duration::from_secs_f64(hours * 3600.0)),
        wall: Wall((hours * 3.6e9) as i64),
    }
}

fn timer(calendar: Option<&str>, every: Option<u64>, on_boot: Option<u64>) -> Timer {
    Timer {
        on_calendar: calendar.map(|text| Calendar::parse(text).unwrap()),
        every: every.map(|hours| Duration::from_secs(hours * 3600)),
        on_boot: on_boot.map(|hours| Duration::from_secs(hours * 3600)),
        persistent: false,
        randomized_delay: Duration::ZERO,
    }
}

fn armed(timers: &[Timer], at: Now, stamp: Option<Wall>) -> Timers {
    let unit = UnitName::new("backup").unwrap();
    let seed = Seed {
        boot: "boot",
        unit: &unit,
    };
    let mut timers = Timers::new(timers, seed, at, stamp, None).unwrap();
    timers.reckon(Mono::default());
    timers
}

fn goes_off(timers: &mut Timers, at: Now) -> bool {
    let due = timers.take_due(at, Mono::default()).is_some();
    timers.reckon(Mono::default());
    due
}

#[test]
fn a_calendar_comes_at_its_times_and_once_for_all_that_were_missed() {
    let mut timers = armed(&[timer(Some("hourly UTC"), None, None)], now(10.5), None);
    assert_eq!(timers.next_wall(), Some(Wall(11 * HOUR)));
    assert!(!goes_off(&mut timers, now(10.9)));
    assert!(goes_off(&mut timers, now(11.0)));
    assert!(!goes_off(&mut timers, now(11.0)));
    // Asleep until half past three.
    assert!(goes_off(&mut timers, now(15.5)));
    assert!(!goes_off(&mut timers, now(15.5)));
    assert_eq!(timers.next_wall(), Some(Wall(16 * HOUR)));
}

#[test]
fn a_persistent_one_makes_up_for_what_was_missed_while_nobody_was_there() {
    let persistent = Timer {
        persistent: true,
        ..timer(Some("*-*-* 03:00:00 UTC"), None, None)
    };
    let last = Some(Wall(3 * HOUR));
    let mut timers = armed(std::slice::from_ref(&persistent), now(24.0 * 5.0), last);
    assert!(goes_off(&mut timers, now(24.0 * 5.0)));
    assert_eq!(timers.next_wall(), Some(Wall((24 * 5 + 3) * HOUR)));
    // One that is not persistent, and one whose stamp is of a clock that was ahead, wait for the next time.
    let plain = timer(Some("*-*-* 03:00:00 UTC"), None, None);
    for (timer, stamp) in [(plain, last), (persistent, Some(Wall(1000 * 24 * HOUR)))] {
        let timers = armed(&[timer], now(24.0 * 5.0), stamp);
        assert_eq!(timers.next_wall(), Some(Wall((24 * 5 + 3) * HOUR)));
    }
}

#[test]
fn a_clock_that_is_put_back_loses_no_time() {
    let mut timers = armed(&[timer(Some("hourly UTC"), None, None)], now(10.5), None);
    assert!(goes_off(&mut timers, now(11.0)));
    let back = Now {
        wall: Wall(5 * HOUR + 1),
        ..now(11.1)
    };
    timers.clock_was_set(back);
    timers.reckon(Mono::default());
    assert_eq!(timers.next_wall(), Some(Wall(6 * HOUR)));
}

#[test]
fn every_counts_from_the_last_start_and_leaves_out_what_comes_while_it_runs() {
    let mut timers = armed(&[timer(None, Some(2), None)], now(10.0), None);
    assert_eq!(timers.next_mono(), Some(now(12.0).mono));
    timers.note_start(now(11.0).mono);
    timers.reckon(Mono::default());
    assert_eq!(timers.next_mono(), Some(now(13.0).mono));
    // It came, and nothing was started, since it runs.
    assert!(goes_off(&mut timers, now(13.0)));
    assert_eq!(timers.next_mono(), Some(now(15.0).mono));
}

#[test]
fn on_boot_comes_once() {
    let mut timers = armed(&[timer(None, None, Some(1))], now(0.5), None);
    assert_eq!(timers.next_mono(), Some(now(1.0).mono));
    assert!(goes_off(&mut timers, now(1.0)));
    assert_eq!(timers.next_mono(), None);
    // Late, so at once; and an edit of something else does not make it come again.
    let mut timers = armed(&[timer(None, None, Some(1))], now(7.0), None);
    assert!(goes_off(&mut timers, now(7.0)));
    let unit = UnitName::new("backup").unwrap();
    let seed = Seed {
        boot: "boot",
        unit: &unit,
    };
    let edited = [timer(None, Some(9), Some(1))];
    let mut timers = Timers::new(&edited, seed, now(8.0), None, Some(timers)).unwrap();
    assert!(!goes_off(&mut timers, now(8.0)));
}

#[test]
fn what_is_saved_comes_back() {
    let definitions = [timer(Some("hourly UTC"), Some(5), Some(1))];
    let mut timers = armed(&definitions, now(0.5), None);
    assert!(goes_off(&mut timers, now(1.0)));
    timers.note_start(now(1.0).mono);
    timers.reckon(Mono::default());
    let mut again = armed(&definitions, now(1.2), None);
    again.restore(&timers.keep());
    again.reckon(Mono::default());
    assert_eq!(again.keep(), timers.keep());
    assert_eq!(
        (again.next_wall(), again.next_mono()),
        (timers.next_wall(), timers.next_mono())
    );
}

#[test]
fn delays_stay_for_a_boot_and_differ_by_unit_and_boot() {
    let most = Duration::from_secs(3600);
    let delay = |boot, unit: &str| {
        let unit = UnitName::new(unit).unwrap();
        Seed { boot, unit: &unit }.delay(0, most)
    };
    assert_eq!(delay("a", "web"), delay("a", "web"));
    assert!(delay("a", "web") != delay("b", "web") && delay("a", "web") != delay("a", "db"));
    assert!(delay("a", "web") <= most);
    let unit = UnitName::new("x").unwrap();
    assert_eq!(Seed { boot: "a", unit: &unit }.delay(0, Duration::ZERO), Duration::ZERO);
}

#[test]
fn a_time_zone_that_is_not_there_is_named() {
    let unit = UnitName::new("x").unwrap();
    let seed = Seed { boot: "a", unit: &unit };
    let timers = [timer(Some("daily Nowhere/Atall"), None, None)];
    assert_eq!(
        &*Timers::new(&timers, seed, now(1.0), None, None).unwrap_err(),
        "Nowhere/Atall"
    );
}
