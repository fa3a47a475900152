//! Units together: cycles, long chains, deep files.

use super::*;

fn chain(length: usize, closed: bool) -> Units {
    let text = |nth: usize| {
        let next = if nth + 1 < length {
            Some(nth + 1)
        } else {
            closed.then_some(0)
        };
        let after = next
            .map(|next| format!("after = [\"u{next:05}\"]\n"))
            .unwrap_or_default();
        format!("[unit]\n\n{after}[target]\n")
    };
    let files: Vec<(String, String)> = (0..length).map(|nth| (format!("u{nth:05}.toml"), text(nth))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    Units::new(&files)
}

#[test]
fn a_long_chain_loads() {
    let set = chain(10_000, false).load();
    assert_eq!(set.findings, []);
    assert_eq!(set.units.len(), 10_001);
}

#[test]
fn a_long_cycle_is_found() {
    let set = chain(10_000, true).load();
    assert_eq!(set.findings.len(), 1);
    assert_eq!(set.units.len(), 10_001);
}

/// An error for `svc check`; loaded all the same, since the engine blocks those that are in it and runs the rest.
#[test]
fn a_cycle_is_told_with_each_of_its_edges() {
    for length in [2, 20] {
        let units = chain(length, true);
        let edges: Vec<String> = (0..length)
            .map(|nth| format!("u{nth:05} (u{nth:05}.toml:3) → "))
            .collect();
        assert_eq!(
            units.told(),
            [format!("u00000.toml:3:1: cycle: {}u00000", edges.concat())]
        );
        let set = units.load();
        assert_eq!(set.findings[0].severity, Severity::Error);
        assert_eq!(set.units.len(), length + 1);
    }
}

#[test]
fn which_links_wait() {
    let cycles = |first: &str, second: &str| {
        let unit = |line: &str| format!("[unit]\n{line}\n[target]\n");
        let units = Units::new(&[("a.toml", &unit(first)), ("b.toml", &unit(second))]);
        units.told().iter().filter(|line| line.contains("cycle: ")).count()
    };
    for (first, second, expected) in [
        ("requires = [\"b\"]", "after = [\"a\"]", 1),
        ("wants = [\"b\"]", "binds-to = [\"a\"]", 1),
        ("before = [\"b\"]", "before = [\"a\"]", 1),
        ("before = [\"b\"]", "after = [\"a\"]", 0),
        ("wanted-by = [\"b\"]", "before = [\"a\"]", 1),
        ("conflicts = [\"b\"]", "after = [\"a\"]", 0),
        ("part-of = [\"b\"]", "after = [\"a\"]", 0),
        ("on-failure = [\"b\"]", "after = [\"a\"]", 0),
        // Two words for one edge are one cycle.
        (
            "requires = [\"b\"]\nafter = [\"b\"]",
            "requires = [\"a\"]\nafter = [\"a\"]",
            1,
        ),
    ] {
        assert_eq!(cycles(first, second), expected, "{first} / {second}");
    }
}

#[test]
fn every_member_of_a_cycle_is_told_when_it_is_checked_alone() {
    let units = chain(3, true);
    for name in ["u00000.toml", "u00001.toml", "u00002.toml"] {
        let set = load::check_files(&[units.file(name)]);
        assert!(
            set.findings.iter().any(|found| found.message.starts_with("cycle: ")),
            "{name}"
        );
    }
}

#[test]
fn slices_that_are_none() {
    let in_slice = |slice: &str| format!("{PLAIN}[resources]\nslice = \"{slice}\"\n");
    let units = Units::new(&[
        ("a.toml", &in_slice("nope")),
        ("b.toml", &in_slice("target")),
        ("c.toml", &in_slice("one")),
        ("target.toml", "[target]\n"),
        ("one.toml", "[slice]\n[resources]\nslice = \"two\"\n"),
        ("two.toml", "[slice]\n[resources]\nslice = \"one\"\n"),
        ("good.toml", &in_slice("top")),
        ("top.toml", "[slice]\n"),
    ]);
    let told = units.told();
    assert_eq!(told.len(), 5, "{told:#?}");
    for (start, end) in [
        ("a.toml", "`nope` is no slice"),
        ("b.toml", "`target` is no slice"),
        ("c.toml", "sits in itself"),
        ("one.toml", "sits in itself"),
        ("two.toml", "sits in itself"),
    ] {
        assert!(
            told.iter().any(|line| line.starts_with(start) && line.ends_with(end)),
            "{start}: {told:#?}"
        );
    }
}

#[test]
fn a_name_that_nobody_has() {
    let units = Units::new(&[
        (
            "a.toml",
            "[unit]\nwanted-by = [\"multi-user\"]\nafter = [\"bb\"]\n[target]\n",
        ),
        ("bbb.toml", "[target]\n"),
    ]);
    assert_eq!(
        units.told(),
        [
            "a.toml:2:1: warning: no such unit: `multi-user`",
            "a.toml:3:1: warning: no such unit: `bb` (did you mean `bbb`?)",
        ]
    );
}

/// A parser that goes down once for each bracket would overflow its stack.
#[test]
fn deep_files_are_errors() {
    for (open, close) in [("[", "]"), ("{a=", "}"), ("[", ""), ("{a=", ""), ("[{a=", "}]")] {
        let text = format!(
            "[service]\nexec-start = {}{}\n",
            open.repeat(100_000),
            close.repeat(100_000)
        );
        let told = Units::new(&[("t.toml", &text)]).told();
        assert_eq!(told.len(), 1, "{open}: {told:?}");
        assert!(told[0].starts_with("t.toml:2:"), "{open}");
    }
    let dotted = format!("[{}]\n", vec!["a"; 100_000].join("."));
    assert_eq!(Units::new(&[("t.toml", &dotted)]).told().len(), 1);
}
