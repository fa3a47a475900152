//! The log process as svcd has it: real pipes, real writers, real files. Each test runs in a process of its own, since
//! a process with the threads of a test harness may not fork and go on.
#![expect(
    clippy::disallowed_methods,
    reason = "tests start themselves anew, and give up after a while"
)]

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::read::{Line, Query, lines, tail};
use super::spool::Phase;
use super::*;
use crate::sys::testing::{Process, is_root, spawn};
use crate::unit::{RateLimit, Size};

/// Runs the test of this name in a process of its own. True in that process.
fn alone(name: &str) -> bool {
    if std::env::var_os("SVC_TEST_ALONE").is_some() {
        return true;
    }
    let name = format!("log::tests::{name}");
    let mut again = Command::new(std::env::current_exe().unwrap());
    let output = again
        .args([&name, "--exact", "--test-threads=1", "--nocapture"])
        .env("SVC_TEST_ALONE", "1")
        .output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// svcd, as far as logs go.
struct Svcd {
    logger: Logger,
    home: tempfile::TempDir,
    /// The pipes of the units that are attached, both ends.
    pipes: BTreeMap<String, (OwnedFd, OwnedFd, Log)>,
    token: u64,
    deaths: u32,
}

impl Svcd {
    fn new(budget: u64) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self {
            logger: Logger::start(&home.path().join("log"), budget, &home.path().join("turn"), None).unwrap(),
            home,
            pipes: BTreeMap::new(),
            token: 0,
            deaths: 0,
        }
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn attach(&mut self, unit: &str, policy: Log) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        self.logger.attach(unit, reader.as_fd(), &policy).unwrap();
        self.pipes.insert(unit.to_owned(), (reader, writer, policy));
    }

    /// A process that writes to a unit's pipe.
    fn run(&self, unit: &str, script: &CStr) -> Process {
        spawn(
            &[c"/usr/bin/perl", c"-e", script],
            None,
            &[],
            Some(self.pipes[unit].1.as_fd()),
        )
    }

    fn write(&self, unit: &str, text: &str) {
        let mut writer = std::fs::File::from(self.pipes[unit].1.try_clone().unwrap());
        writer.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until all that is in the unit's pipe is in its files.
    fn flush(&mut self, unit: &str) {
        let deaths = self.deaths;
        self.token += 1;
        self.logger.flush(unit, self.token);
        let token = self.token;
        until("it is flushed", || {
            let flushed = self.turn(1000).contains(&Message::Flushed(token));
            if self.deaths != deaths && !flushed {
                self.flush(unit);
                return true;
            }
            flushed
        });
    }

    /// One turn of the loop: what a supervisor does with messages.
    fn turn(&mut self, wait_ms: i64) -> Vec<Message> {
        let timeout = Timespec {
            tv_sec: wait_ms / 1000,
            tv_nsec: wait_ms % 1000 * 1_000_000,
        };
        let _ = poll(&mut [PollFd::new(&self.logger.fd(), PollFlags::IN)], Some(&timeout));
        let messages = self.logger.receive();
        if messages.contains(&Message::Dead) {
            self.deaths += 1;
            reap(self.logger.pidfd());
            self.logger.restart().unwrap();
            for (unit, (reader, _, policy)) in &self.pipes {
                self.logger.attach(unit, reader.as_fd(), policy).unwrap();
            }
        }
        messages
    }

    fn texts(&self, unit: &str) -> Vec<String> {
        let query = Query {
            units: vec![unit.into()],
            ..Query::default()
        };
        lines(&self.dir(), query).unwrap().map(|line| line.text).collect()
    }

    /// What `du` says of a unit's files.
    fn bytes(&self, unit: &str) -> u64 {
        let entries = std::fs::read_dir(self.dir().join(unit)).unwrap();
        entries
            .map(|entry| entry.unwrap().metadata().map_or(0, |data| data.len()))
            .sum()
    }

    fn stop(self) -> tempfile::TempDir {
        reap(self.logger.stop().as_fd());
        self.home
    }
}

fn reap(pidfd: BorrowedFd<'_>) {
    let id = rustix::process::WaitId::PidFd(pidfd);
    rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED).unwrap();
}

/// Whether a child has ended, which is not reaped yet.
fn ended(pidfd: BorrowedFd<'_>) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::PidFd(pidfd), options).unwrap().is_some()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
    }
}

fn capped(bytes: u64) -> Log {
    Log {
        max_size: Size(bytes),
        ..Log::default()
    }
}

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

/// DESIGN decision 9: no line is lost, none is twice, whenever the log process is killed.
#[test]
fn nothing_is_lost_or_repeated_when_the_log_process_is_killed() {
    if !alone("nothing_is_lost_or_repeated_when_the_log_process_is_killed") {
        return;
    }
    let mut svcd = Svcd::new(1 << 30);
    svcd.attach("a", capped(1 << 28));
    svcd.attach("b", capped(1 << 28));
    // One writes line by line, the other in blocks that end within lines; until there were deaths enough.
    let stop = svcd.home.path().join("stop");
    let script = |unbuffered: u8| {
        let write = "print qq(line $n of many, with some more text to fill it up\\n)";
        let last = format!("$n % 1000 == 0 && $n >= 200000 && -e '{}'", stop.display());
        let text = format!("$| = {unbuffered}; for ($n = 1; ; $n++) {{ {write}; last if {last} }} print qq(end $n\\n)");
        std::ffi::CString::new(text).unwrap()
    };
    let mut writers = [svcd.run("a", &script(1)), svcd.run("b", &script(0))];
    // From now on only the writers can write.
    for (_, writer, _) in svcd.pipes.values_mut() {
        *writer = std::fs::File::open("/dev/null").unwrap().into();
    }
    let size = |svcd: &Svcd| svcd.bytes_if_there("a") + svcd.bytes_if_there("b");
    // Every other one is killed wherever it is, the others soon after they have done something.
    while svcd.deaths < 50 {
        let before = size(&svcd);
        if svcd.deaths % 2 == 1 {
            until("it has done something", || size(&svcd) > before);
        }
        let begin = Instant::now();
        let patience = Duration::from_micros(u64::from(svcd.deaths) * 137 % 400);
        until("its time has come", || begin.elapsed() >= patience);
        sys::signal::send(svcd.logger.pidfd(), 9).unwrap();
        until("its death is seen", || svcd.turn(1000).contains(&Message::Dead));
    }
    std::fs::write(stop, "").unwrap();
    writers.iter_mut().for_each(|writer| assert_eq!(writer.wait(), 0));
    for unit in ["a", "b"] {
        until("all lines are there", || {
            tail(&svcd.dir(), unit, 1)
                .iter()
                .any(|line| line.text.starts_with("end "))
        });
        let mut texts = svcd.texts(unit);
        let end = texts.pop().unwrap();
        for (n, text) in texts.iter().enumerate() {
            let expected = format!("line {} of many, with some more text to fill it up", n + 1);
            assert_eq!(*text, expected);
        }
        assert!(texts.len() >= 200_000);
        assert_eq!(end, format!("end {}", texts.len()));
    }
    svcd.stop();
}

#[test]
fn a_block_is_finished_by_the_next_log_process_wherever_the_kill_came() {
    if !alone("a_block_is_finished_by_the_next_log_process_wherever_the_kill_came") {
        return;
    }
    for (phase, spooled, written, expected) in [
        (Phase::In, "", "", "old\nnew\n"),
        (Phase::In, "new\n", "", "old\nnew\n"),
        (Phase::In, "new\n", "2026-11-24T0", "old\nnew\n"),
        (Phase::In, "new\n", "2026-11-24T03:37:13.123456Z new\n", "old\nnew\n"),
        (Phase::Out, "new\n", "2026-11-24T03:37:13.123456Z new\n", "old\nnew\n"),
        (Phase::Out, "w\n", "2026-11-24T03:37:13.123456Z new\n", "old\nnew\n"),
        (Phase::Out, "", "2026-11-24T03:37:13.123456Z new\n", "old\nnew\n"),
    ] {
        let mut svcd = Svcd::new(1 << 30);
        svcd.attach("u", Log::default());
        svcd.write("u", "old\n");
        svcd.flush("u");
        sys::signal::send(svcd.logger.pidfd(), 9).unwrap();
        until("it is dead", || ended(svcd.logger.pidfd()));
        let file = svcd.dir().join("u/current");
        let size = file.metadata().unwrap().len();
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        rustix::io::write(&writer, spooled.as_bytes()).unwrap();
        if !spooled.is_empty() {
            svcd.logger.spool.take(reader.as_fd(), spooled.len()).unwrap();
        }
        svcd.logger.spool.note("u", size, phase).unwrap();
        let mut text = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
        text.write_all(written.as_bytes()).unwrap();
        if phase == Phase::In && spooled.is_empty() {
            svcd.write("u", "new\n");
        }
        assert!(svcd.turn(1000).contains(&Message::Dead));
        svcd.flush("u");
        let texts = svcd.texts("u").join("\n") + "\n";
        assert_eq!(texts, expected, "{phase:?} {spooled:?} {written:?}");
        svcd.stop();
    }
}

#[test]
fn caps_hold_on_disk_and_files_end_at_line_ends() {
    if !alone("caps_hold_on_disk_and_files_end_at_line_ends") {
        return;
    }
    let mut svcd = Svcd::new(1 << 30);
    for (unit, cap) in [("small", 4096), ("large", 1 << 20), ("zero", 0)] {
        svcd.attach(unit, capped(cap));
        let mut writer = svcd.run(unit, c"for (1..50000) { print qq(line $_\\n) }");
        until("it has written", || {
            svcd.turn(0);
            let kept = svcd.at_rest(|svcd| svcd.bytes_if_there(unit));
            assert!(kept <= cap.max(4096), "{unit}: {kept} bytes");
            ended(writer.pidfd.as_fd())
        });
        writer.wait();
        svcd.flush(unit);
        let kept = svcd.bytes(unit);
        assert!(kept <= cap.max(4096) && kept >= cap / 2, "{unit}: {kept} bytes");
        for entry in std::fs::read_dir(svcd.dir().join(unit)).unwrap() {
            let text = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(text.is_empty() || text.ends_with(b"\n"));
        }
        // What is kept is the end, with no gap.
        let texts = svcd.texts(unit);
        let first = 50_001 - texts.len();
        for (n, text) in texts.iter().enumerate() {
            assert_eq!(*text, format!("line {}", first + n));
        }
    }
    // A cap that shrinks, live.
    svcd.logger.update("large", &capped(1 << 16));
    svcd.write("large", "more\n");
    svcd.flush("large");
    assert!(svcd.bytes("large") <= 1 << 18, "{} bytes", svcd.bytes("large"));
    svcd.stop();
}

#[test]
fn the_budget_holds_over_all_units() {
    if !alone("the_budget_holds_over_all_units") {
        return;
    }
    const BUDGET: u64 = 200_000;
    let mut svcd = Svcd::new(BUDGET);
    // Left by a unit that is no more.
    let gone = svcd.dir().join("gone");
    std::fs::create_dir(&gone).unwrap();
    std::fs::write(gone.join("00000007.log"), vec![b'\n'; 90_000]).unwrap();
    sys::signal::send(svcd.logger.pidfd(), 9).unwrap();
    until("its death is seen", || svcd.turn(1000).contains(&Message::Dead));
    let units: Vec<String> = (0..5).map(|n| format!("u{n}")).collect();
    for unit in &units {
        svcd.attach(unit, Log::default());
        svcd.run(
            unit,
            c"for (1..2000) { print qq(line $_ with some text to fill it up\\n) }",
        )
        .wait();
        svcd.flush(unit);
        let total: u64 = units.iter().map(|unit| svcd.bytes_if_there(unit)).sum();
        let total = total + gone.join("00000007.log").metadata().map_or(0, |data| data.len());
        assert!(total <= BUDGET, "{total} bytes");
    }
    assert!(!gone.join("00000007.log").exists(), "the oldest went first");
    assert_eq!(svcd.texts("u4").len(), 2000, "the newest is whole");
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

/// RELIABILITY b 4: services are not blocked, what is lost is counted and said, and writing goes on when there is room.
#[test]
fn a_full_disk_blocks_nobody() {
    if !is_root() || !alone("a_full_disk_blocks_nobody") {
        return;
    }
    // A mount namespace of this process's own: it goes with it, whatever happens.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    let private = rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).unwrap();
    let home = tempfile::tempdir().unwrap();
    let disk = home.path().to_owned();
    let none = rustix::mount::MountFlags::empty();
    rustix::mount::mount("tmpfs", &disk, "tmpfs", none, c"size=1m").unwrap();
    let mut svcd = Svcd {
        logger: Logger::start(&disk.join("log"), 1 << 30, &disk.join("turn"), None).unwrap(),
        home,
        pipes: BTreeMap::new(),
        token: 0,
        deaths: 0,
    };
    let ballast = disk.join("ballast");
    svcd.attach("u", Log::default());
    svcd.write("u", "before\n");
    svcd.flush("u");
    let fill = std::fs::File::create(&ballast).unwrap();
    until("the disk is full", || (&fill).write_all(&[0; 4096]).is_err());
    drop(fill);
    // A unit whose files cannot even be made.
    svcd.attach("late", Log::default());
    for unit in ["u", "late"] {
        svcd.run(unit, c"for (1..100000) { print qq(line $_\\n) }").wait();
        svcd.flush(unit);
    }
    std::fs::remove_file(&ballast).unwrap();
    let begin = Instant::now();
    for unit in ["u", "late"] {
        until("it is told of", || {
            svcd.texts(unit)
                .iter()
                .any(|text| text.ends_with("lines lost: disk full"))
        });
        assert!(begin.elapsed() < Duration::from_secs(3));
        svcd.write(unit, "after\n");
        svcd.flush(unit);
        let texts = svcd.texts(unit);
        let (mut kept, mut lost) = (0, 0);
        for text in &texts {
            match text.strip_prefix("svc: ") {
                Some(rest) => lost += rest.split(' ').next().unwrap().parse::<usize>().unwrap(),
                None => kept += usize::from(text.starts_with("line ")),
            }
        }
        assert_eq!(kept + lost, 100_000, "{unit}");
        assert_eq!(texts.last().unwrap(), "after");
    }
    let home = svcd.stop();
    rustix::mount::unmount(home.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
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

#[test]
fn followers_see_every_line_over_rotations() {
    if !alone("followers_see_every_line_over_rotations") {
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

/// The end of svcd without a word: what services still say is kept, until the last of them is gone.
#[test]
fn the_log_process_outlives_svcd() {
    if !alone("the_log_process_outlives_svcd") {
        return;
    }
    let mut svcd = Svcd::new(1 << 30);
    svcd.attach("u", Log::default());
    let (_, writer, _) = svcd.pipes.remove("u").unwrap();
    let dir = svcd.dir();
    let pidfd = svcd.logger.pidfd().try_clone_to_owned().unwrap();
    // It hears of its unit before it hears of the end.
    svcd.flush("u");
    let Svcd { logger, home, .. } = svcd;
    drop(logger);
    rustix::io::write(&writer, b"still here\n").unwrap();
    until("it is kept", || {
        tail(&dir, "u", 1).iter().any(|line| line.text == "still here")
    });
    drop(writer);
    reap(pidfd.as_fd());
    drop(home);
}

impl Svcd {
    /// Looks at something while the log process stands still.
    fn at_rest<T>(&self, look: impl FnOnce(&Self) -> T) -> T {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        sys::signal::send(self.logger.pidfd(), 19).unwrap();
        waitid(WaitId::PidFd(self.logger.pidfd()), WaitIdOptions::STOPPED).unwrap();
        let seen = look(self);
        sys::signal::send(self.logger.pidfd(), 18).unwrap();
        seen
    }

    fn bytes_if_there(&self, unit: &str) -> u64 {
        let entries = std::fs::read_dir(self.dir().join(unit));
        let size =
            |entry: std::io::Result<std::fs::DirEntry>| entry.and_then(|e| e.metadata()).map_or(0, |data| data.len());
        entries.map_or(0, |entries| entries.map(size).sum())
    }
}
