//! Logs as they are read, and while they are written.

use std::io::Write;
use std::path::Path;

use super::harness::{Svcd, alone, capped};
use crate::log::read::{self, Line, Query, lines, tail};
use crate::log::stamp;
use crate::unit::Log;

#[test]
fn followers_see_every_line_over_rotations() {
    if !alone("reading::followers_see_every_line_over_rotations") {
        return;
    }
    let mut svcd = Svcd::new(1 << 30);
    svcd.attach("old", Log::default());
    svcd.run("old", c"for (1..9) { print qq(old $_\\n) }").wait();
    svcd.flush("old");
    // Half a megabyte in files of 64 KiB.
    let dir = svcd.dir();
    let query = Query {
        last: Some(2),
        follow: true,
        ..Query::default()
    };
    let mut follower = lines(&dir, query).unwrap();
    let texts: Vec<String> = follower.by_ref().take(2).map(|line| line.text).collect();
    assert_eq!(texts, ["old 8", "old 9"]);
    svcd.attach("new", capped(1 << 18));
    for round in 0..20 {
        let mut writer = svcd.run("new", c"for (1..1000) { print qq(line $_ with some text in it\\n) }");
        writer.wait();
        svcd.flush("new");
        for n in 1..=1000 {
            let line = follower.next().unwrap();
            assert_eq!(
                (&*line.unit, line.text),
                ("new", format!("line {n} with some text in it")),
                "{round}"
            );
        }
    }
    assert!(
        !svcd.dir().join("new/00000001.log").exists(),
        "some that were read are gone"
    );
    svcd.stop();
}

#[test]
fn queries() {
    let home = tempfile::tempdir().unwrap();
    let file = |path: &str, lines: std::ops::Range<i64>| {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let lines = lines.map(|n| format!("{}line {n}\n", stamp::text(n * 1_000_000)));
        std::fs::write(path, lines.collect::<String>()).unwrap();
    };
    file("a/00000001.log", 0..1000);
    file("a/00000002.log", 1000..3000);
    file("a/current", 3000..3010);
    file("b/current", 2995..3005);
    std::fs::write(home.path().join("a/notes"), "no log\n").unwrap();
    std::fs::write(home.path().join("c"), "no unit\n").unwrap();
    let mut torn = std::fs::OpenOptions::new()
        .append(true)
        .open(home.path().join("a/current"))
        .unwrap();
    torn.write_all(b"no stamp\n1970-01-01T00:5").unwrap();

    assert_eq!(read::units(home.path()).unwrap(), ["a", "b"]);
    let ask = |query: Query<'_>| -> Vec<String> {
        let shown = |line: Line| format!("{}{}", line.unit, line.text.replace("line ", ""));
        lines(home.path(), query).unwrap().map(shown).collect()
    };
    let of_a = || Query {
        units: vec!["a".into()],
        ..Query::default()
    };
    assert_eq!(ask(of_a()).len(), 3011);
    assert_eq!(ask(of_a())[3009..], ["a3009", "ano stamp"]);
    let since = |second: i64| Query {
        since: Some(second * 1_000_000),
        ..of_a()
    };
    for second in [0, 999, 1000, 1001, 2999, 3000, 3005] {
        let got = ask(since(second));
        assert_eq!((got.len() as i64, &got[0]), (3011 - second, &format!("a{second}")));
    }
    let until = Query {
        until: Some(1001 * 1_000_000),
        ..since(998)
    };
    assert_eq!(ask(until), ["a998", "a999", "a1000"]);
    let ends_in_99 = |last| Query {
        grep: Some(Box::new(|text| text.ends_with("99"))),
        last,
        ..Query::default()
    };
    assert_eq!(ask(ends_in_99(None)).len(), 31);
    assert_eq!(ask(ends_in_99(Some(3))), ["a2899", "a2999", "b2999"]);
    let merged = Query {
        last: Some(4),
        until: Some(3003 * 1_000_000),
        ..Query::default()
    };
    assert_eq!(ask(merged), ["a3001", "b3001", "a3002", "b3002"]);
    for n in [0, 1, 2, 11, 12, 13, 500, 2011, 2012, 4000] {
        let got = tail(home.path(), "a", n);
        assert_eq!(got.len(), n.min(3011));
        assert!(n == 0 || got.last().unwrap().text == "no stamp");
        assert!(!(2..=3011).contains(&n) || got[0].text == format!("line {}", 3011 - n));
    }
    assert!(tail(home.path(), "nobody", 5).is_empty());
    assert!(tail(Path::new("/nowhere"), "a", 5).is_empty());
}
