//! The log process as svcd has it: real pipes, real writers, real files. Each test runs in a process of its own, since
//! a process with the threads of a test harness may not fork and go on.
#![expect(
    clippy::disallowed_methods,
    reason = "tests start themselves anew, and give up after a while"
)]

use std::time::{Duration, Instant};

use harness::{Svcd, alone, until};

use super::read::{Line, Query, lines, tail};
use super::stamp;
use crate::unit::{Log, RateLimit};

mod deaths;
mod harness;
mod reading;
mod space;

#[test]
fn lines_of_several_units_are_kept_in_order_each_with_its_time() {
    if !alone("lines_of_several_units_are_kept_in_order_each_with_its_time") {
        return;
    }
    let before = stamp::now();
    let mut svcd = Svcd::new(1 << 30);
    svcd.attach("web", Log::default());
    svcd.attach("db@1", Log::default());
    svcd.run("web", c"print qq(one\\n\\nthree\\n)").wait();
    svcd.flush("web");
    svcd.run("db@1", c"print qq(\\xff\\x00bytes\\nno end)").wait();
    svcd.flush("db@1");
    svcd.run("web", c"print qq(four\\n)").wait();
    svcd.flush("web");
    svcd.flush("nobody");
    let all: Vec<Line> = lines(&svcd.dir(), Query::default()).unwrap().collect();
    let shown: Vec<String> = all.iter().map(|line| format!("{} {}", line.unit, line.text)).collect();
    assert_eq!(
        shown,
        [
            "web one",
            "web ",
            "web three",
            "db@1 \u{fffd}\0bytes",
            "db@1 no end",
            "web four"
        ]
    );
    assert!(all.windows(2).all(|pair| pair[0].time <= pair[1].time));
    assert!(before <= all[0].time && all[5].time <= stamp::now());
    // For grep and tail, and for nobody else.
    let file = svcd.dir().join("web/current");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().nth(2).unwrap().get(stamp::WIDTH..), Some("three"));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(
        svcd.dir().join("web").metadata().unwrap().permissions().mode() & 0o777,
        0o750
    );
    svcd.stop();
}

#[test]
fn long_lines_are_cut_and_marked() {
    if !alone("long_lines_are_cut_and_marked") {
        return;
    }
    let mut svcd = Svcd::new(1 << 30);
    svcd.attach("long", Log::default());
    // Wider than the pipe, with no end, so that its writer would wait for ever.
    svcd.run("long", c"print 'x' x 300000; print qq(\\nshort\\n)").wait();
    svcd.flush("long");
    let texts = svcd.texts("long");
    let (pieces, last) = texts.split_at(texts.len() - 2);
    assert!(
        pieces
            .iter()
            .all(|piece| piece.len() == (16 << 10) + 6 && piece.ends_with("x [...]"))
    );
    assert_eq!(last[1], "short");
    assert_eq!(pieces.len() * (16 << 10) + last[0].len(), 300_000);
    svcd.stop();
}

#[test]
fn over_the_rate_limit_lines_are_dropped_and_counted() {
    if !alone("over_the_rate_limit_lines_are_dropped_and_counted") {
        return;
    }
    let mut svcd = Svcd::new(1 << 30);
    let limit = RateLimit {
        lines: 10,
        per: Duration::from_secs(1),
    };
    let policy = Log {
        rate_limit: Some(limit),
        ..Log::default()
    };
    svcd.attach("noisy", policy);
    svcd.run("noisy", c"for (1..1000) { print qq(line $_\\n) }").wait();
    svcd.flush("noisy");
    let begin = Instant::now();
    // Told of with no further line to tell it with.
    until("it is told of", || {
        svcd.texts("noisy").iter().any(|text| text.contains("dropped"))
    });
    assert!(begin.elapsed() < Duration::from_secs(3));
    let texts = svcd.texts("noisy");
    let mut dropped = 0;
    for text in &texts {
        if let Some(rest) = text.strip_prefix("svc: ") {
            dropped += rest.split(' ').next().unwrap().parse::<usize>().unwrap();
        }
    }
    let kept = texts.iter().filter(|text| text.starts_with("line ")).count();
    assert_eq!(kept + dropped, 1000, "{texts:?}");
    assert_eq!(texts[9], "line 10");
    // What was dropped last is told of at the end.
    svcd.write("noisy", &"more\n".repeat(1000));
    let home = svcd.stop();
    let told = &tail(&home.path().join("log"), "noisy", 1)[0].text;
    assert!(told.contains("lines dropped"), "{told}");
}

#[test]
fn lines_are_forwarded() {
    if !alone("lines_are_forwarded") {
        return;
    }
    let mut svcd = Svcd::new(1 << 30);
    let path = svcd.home.path().join("syslog");
    let daemon = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let policy = Log {
        forward: vec![
            crate::unit::Forward::Syslog(path),
            crate::unit::Forward::Syslog("/nowhere".into()),
        ],
        ..Log::default()
    };
    svcd.attach("web", policy);
    svcd.write("web", "hello\nworld\n");
    let mut buffer = [0; 200];
    for text in ["hello", "world"] {
        let count = daemon.recv(&mut buffer).unwrap();
        let got = std::str::from_utf8(&buffer[..count]).unwrap();
        assert!(
            got.starts_with("<30>") && got.ends_with(&format!(" web: {text}")),
            "{got}"
        );
        assert_eq!(got.len(), "<30>Nov 24 03:37:13 web: hello".len());
    }
    svcd.flush("web");
    assert_eq!(svcd.texts("web"), ["hello", "world"]);
    svcd.stop();
}

#[test]
fn pipes_come_and_go() {
    if !alone("pipes_come_and_go") {
        return;
    }
    let mut svcd = Svcd::new(1 << 30);
    svcd.attach("u", Log::default());
    svcd.write("u", "first\npart");
    // The next life has a pipe of its own; what the first had to say comes first.
    svcd.attach("u", Log::default());
    svcd.write("u", "second\n");
    svcd.flush("u");
    assert_eq!(svcd.texts("u"), ["first", "part", "second"]);
    svcd.write("u", "last");
    svcd.logger.detach("u");
    let (_, writer, _) = svcd.pipes.remove("u").unwrap();
    svcd.flush("u");
    assert_eq!(svcd.texts("u").last().unwrap(), "last");
    until("nobody reads any more", || {
        rustix::io::write(&writer, b"x") == Err(rustix::io::Errno::PIPE)
    });
    // All writers gone, svcd still there: the end is an end of line.
    svcd.attach("v", Log::default());
    svcd.write("v", "no end");
    svcd.pipes.get_mut("v").unwrap().1 = std::fs::File::open("/dev/null").unwrap().into();
    until("it is there", || svcd.texts("v") == ["no end"]);
    // At the end everything is drained, with no flush.
    svcd.attach("w", Log::default());
    svcd.run("w", c"for (1..10000) { print qq(line $_\\n) }").wait();
    let dir = svcd.stop();
    assert_eq!(tail(&dir.path().join("log"), "w", 1)[0].text, "line 10000");
}

#[test]
fn a_thousand_units_at_once() {
    if !alone("a_thousand_units_at_once") {
        return;
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, most).unwrap();
    let mut svcd = Svcd::new(1 << 30);
    let units: Vec<String> = (0..1000).map(|n| format!("u{n}")).collect();
    for unit in &units {
        svcd.attach(unit, Log::default());
        svcd.write(unit, "hello\n");
    }
    for unit in &units {
        svcd.flush(unit);
    }
    assert!(units.iter().all(|unit| svcd.texts(unit) == ["hello"]));
    svcd.stop();
}
