//! What is printed of times that are known.

use super::*;
use crate::cli::failure;
use crate::control::view::State;

fn unit(name: &str, kind: &str, times: (u64, Option<u64>), released_by: Option<&str>) -> UnitTiming {
    UnitTiming {
        unit: name.to_owned(),
        kind: kind.to_owned(),
        state: if times.1.is_some() {
            State::Running
        } else {
            State::Failed
        },
        starting_usec: times.0,
        ready_usec: times.1,
        released_by: released_by.map(str::to_owned),
    }
}

/// `default` waits for `web`, which waits for `db`; `lame` fails, `late` is started by hand.
fn boot() -> Timings {
    Timings {
        kernel_usec: Some(1_204_000),
        now_usec: 100_000_000,
        target: "default".to_owned(),
        units: vec![
            unit("db", "service", (2_000, Some(210_000)), None),
            unit("default", "target", (312_000, Some(312_000)), Some("web")),
            unit("lame", "service", (2_000, None), None),
            unit("late", "service", (70_000_000, Some(71_500_000)), None),
            unit("web", "service", (210_000, Some(312_000)), Some("db")),
        ],
    }
}

fn printed(timings: &Timings, way: impl Fn(&mut Session<'_>, &Timings) -> Result<(), Failure>) -> String {
    let (mut out, mut err) = (anstream::StripStream::new(Vec::new()), Vec::new());
    let mut session = Session {
        out: &mut out,
        err: &mut err,
        json: false,
        shows_progress: false,
        is_terminal: false,
        socket: "/nobody".into(),
    };
    way(&mut session, timings).unwrap();
    String::from_utf8(out.into_inner()).unwrap()
}

#[test]
fn a_boot_is_told_in_two_lines() {
    let mut timings = boot();
    let rest = "4 units came up, the slowest of them late in 1.500s\n";
    let head = "kernel 1.204s + svcd 312ms = 1.516s until default was ready\n";
    assert_eq!(printed(&timings, summary), format!("{head}{rest}"));
    timings.kernel_usec = None;
    assert_eq!(
        printed(&timings, summary),
        format!("svcd 312ms until default was ready\n{rest}")
    );
    timings.units[1].ready_usec = None;
    timings.units[1].state = State::Waiting;
    assert!(printed(&timings, summary).starts_with("default is waiting, 1min 40s after svcd began\n"));
    timings.units.clear();
    assert_eq!(
        printed(&timings, summary),
        "default is not started, 1min 40s after svcd began\n"
    );
}

#[test]
fn blame_begins_with_the_slowest_and_ends_with_those_that_never_were() {
    assert_eq!(
        printed(&boot(), blame),
        "1.500s  late\n 208ms  db\n 102ms  web\n     -  lame  failed\n"
    );
}

#[test]
fn a_chain_goes_back_to_who_waited_for_nobody() {
    let chain = |unit: Option<&str>| {
        let unit = unit.map(str::to_owned);
        let text = printed(&boot(), |session, timings| {
            critical_chain(session, timings, unit.clone())
        });
        text.split_once('\n').unwrap().1.to_owned()
    };
    assert_eq!(
        chain(None),
        "default @312ms +0.00ms\n└─ web @312ms +102ms\n   └─ db @210ms +208ms\n"
    );
    assert_eq!(chain(Some("db")), "db @210ms +208ms\n");
    assert_eq!(chain(Some("lame")), "lame failed\n");
}

#[test]
fn a_ring_in_the_answer_ends() {
    let mut timings = boot();
    timings.units[0].released_by = Some("web".to_owned());
    let names: Vec<&str> = chain(&timings, "default").iter().map(|unit| &*unit.unit).collect();
    assert_eq!(names, ["default", "web", "db"]);
}

#[test]
fn a_unit_that_was_never_started_has_no_chain() {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut session = Session {
        out: &mut out,
        err: &mut err,
        json: false,
        shows_progress: false,
        is_terminal: false,
        socket: "/nobody".into(),
    };
    let failure = critical_chain(&mut session, &boot(), Some("gone".to_owned())).unwrap_err();
    assert_eq!(failure.kind, failure::Kind::Failed);
}

#[test]
fn the_chart_has_a_row_for_each_unit_of_the_boot() {
    let chart = plot::svg(&boot());
    assert!(chart.starts_with("<svg ") && chart.ends_with("</svg>\n"));
    assert_eq!(chart.matches("<g>").count(), chart.matches("</g>").count());
    for name in ["db", "default", "lame", "web"] {
        assert!(chart.contains(&format!(">{name}</text>")), "{name}: {chart}");
    }
    // What came a minute later would press the boot into a corner.
    assert!(!chart.contains(">late<") && chart.contains("1 began later"), "{chart}");
    for figure in ["208ms", "102ms", "failed", "kernel 1.204s + svcd 312ms"] {
        assert!(chart.contains(figure), "{figure}: {chart}");
    }
    // db, web and the target, and the square in the legend.
    assert_eq!(chart.matches(r#"class="critical""#).count(), 4);
}

#[test]
fn a_chart_of_nothing_is_one_too() {
    let chart = plot::svg(&Timings::default());
    assert!(
        chart.ends_with("</svg>\n") && !chart.contains("NaN") && !chart.contains("inf"),
        "{chart}"
    );
}

#[test]
fn spans_are_as_exact_as_they_are_short() {
    for (microseconds, text) in [
        (0, "0.00ms"),
        (420, "0.42ms"),
        (12_345, "12ms"),
        (999_400, "999ms"),
        (1_204_000, "1.204s"),
        (125_000_000, "2min 5s"),
    ] {
        assert_eq!(span(microseconds), text);
    }
}
