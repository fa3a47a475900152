//! The end of the log process, and that of svcd: no line is lost, and none is twice.

use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};

use super::harness::{Svcd, alone, capped, ended, reap, until};
use crate::log::Message;
use crate::log::read::tail;
use crate::log::spool::Phase;
use crate::sys;
use crate::unit::Log;

/// DESIGN decision 9: no line is lost, none is twice, whenever the log process is killed.
#[test]
fn nothing_is_lost_or_repeated_when_the_log_process_is_killed() {
    if !alone("deaths::nothing_is_lost_or_repeated_when_the_log_process_is_killed") {
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
    if !alone("deaths::a_block_is_finished_by_the_next_log_process_wherever_the_kill_came") {
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

/// The end of svcd without a word: what services still say is kept, until the last of them is gone.
#[test]
fn the_log_process_outlives_svcd() {
    if !alone("deaths::the_log_process_outlives_svcd") {
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
