//! What logs may take: caps, the budget of all, and a disk that is full.

use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::harness::{Svcd, alone, capped, ended, until};
use crate::log::Message;
use crate::sys;
use crate::sys::testing::is_root;
use crate::unit::Log;

#[test]
fn caps_hold_on_disk_and_files_end_at_line_ends() {
    if !alone("space::caps_hold_on_disk_and_files_end_at_line_ends") {
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
    if !alone("space::the_budget_holds_over_all_units") {
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

/// RELIABILITY b 4: services are not blocked, what is lost is counted and said, and writing goes on when there is room.
#[test]
fn a_full_disk_blocks_nobody() {
    if !is_root() || !alone("space::a_full_disk_blocks_nobody") {
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
    let mut svcd = Svcd::at(home, 1 << 30);
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
