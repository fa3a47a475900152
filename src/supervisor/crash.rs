//! The way out of a fault: execve(2) of the same program over the same process, which goes on from what was saved.
//!
//! A handler cannot trust the heap, so all that it needs is prepared: the program, and where the saved state is. A third
//! crash within a minute says that the state itself, or the machine, makes svcd crash: then the successor is no more
//! than a [reaper](stay), which keeps the services and the machine alive.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use nix::sys::signal::{SigSet, Signal};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::clock;
use super::console;
use crate::sys;
use crate::sys::exec::Program;

/// The variable in which a predecessor says how to go on.
pub const NOTE: &str = "SVC_RESUME";

/// More crashes than this within [`CRASH_WINDOW_MS`] are too many: the next successor is a reaper.
const CRASHES_MAX: usize = 2;
const CRASH_WINDOW_MS: u64 = 60_000;

static PROGRAM: OnceLock<Program> = OnceLock::new();
/// The journal; -1: there is none.
static RECORD: AtomicI32 = AtomicI32::new(-1);
/// The highest number of a descriptor that the record names.
static HIGHEST: AtomicI32 = AtomicI32::new(2);
/// When the last ones were, in milliseconds since boot; 0: never.
static CRASHES: [AtomicU64; CRASHES_MAX] = [const { AtomicU64::new(0) }; CRASHES_MAX];

/// How a predecessor in the same process wants this program to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// As what.
    pub mode: Mode,
    /// The descriptor of the record; -1: there is none.
    pub record: RawFd,
    /// No descriptor above this was handed over.
    pub highest: RawFd,
    crashes: [u64; CRASHES_MAX],
}

/// What a successor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A supervisor, since somebody asked for a new one.
    Asked,
    /// A supervisor, after a crash.
    Crashed,
    /// A reaper and nothing else.
    Reaper,
}

const MODES: [(Mode, &str); 3] = [
    (Mode::Asked, "asked"),
    (Mode::Crashed, "crashed"),
    (Mode::Reaper, "reaper"),
];

impl Resume {
    /// What the predecessor said; None: there was none.
    pub fn from_environment() -> Option<Self> {
        Self::parse(std::env::var_os(NOTE)?.to_str()?)
    }

    /// `crashed 7 52 100000 90000`.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let word = words.next()?;
        let mode = MODES.iter().find(|(_, its)| *its == word)?.0;
        let mut number = || words.next()?.parse::<u64>().ok();
        let (record, highest) = (number()?, number()?);
        Some(Self {
            mode,
            record: RawFd::try_from(record).ok().filter(|number| *number > 2).unwrap_or(-1),
            highest: RawFd::try_from(highest).ok()?,
            crashes: [number()?, number()?],
        })
    }
}

/// From here on a fault is no end. `arguments` are those that this program was started with.
pub fn arm(arguments: Vec<OsString>, resume: Option<&Resume>) {
    for (place, at) in CRASHES
        .iter()
        .zip(resume.map(|resume| resume.crashes).unwrap_or_default())
    {
        place.store(at, Ordering::Relaxed);
    }
    let path = own_path(&arguments);
    let file = fs::File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::PATH.bits().cast_signed())
        .open("/proc/self/exe")
        .or_else(|_| fs::File::open(&path));
    let file = file.ok().map(Into::into);
    let prepared = Program::new(&path, file, arguments, std::env::vars_os(), NOTE);
    let armed = prepared.and_then(|program| {
        PROGRAM.get_or_init(|| program);
        sys::fault::handle(on_fault)
    });
    if let Err(error) = armed {
        tracing::warn!("a crash will be the end: {error}");
    }
    std::panic::set_hook(Box::new(|panic| {
        console::say_at_once(format!("svcd: {panic}\n").as_bytes());
        if !sys::fault::is_disarmed() {
            on_fault(libc::SIGABRT);
        }
    }));
}

/// Where an upgrade puts the next program: what this one was started as, or where its file was when it began.
fn own_path(arguments: &[OsString]) -> PathBuf {
    let started_as = arguments.first().map(PathBuf::from).unwrap_or_default();
    if started_as.is_absolute() {
        return started_as;
    }
    let Ok(path) = fs::read_link("/proc/self/exe") else {
        return started_as;
    };
    let clean = path.to_str().and_then(|path| path.strip_suffix(" (deleted)"));
    clean.map_or(path.clone(), PathBuf::from)
}

/// The program that is executed, if it is prepared.
pub fn program() -> Option<&'static Program> {
    PROGRAM.get()
}

/// No record names a descriptor above this.
pub fn highest() -> RawFd {
    HIGHEST.load(Ordering::Relaxed)
}

/// The journal is here.
pub fn set_record(journal: BorrowedFd<'_>) {
    remember(journal.as_raw_fd());
    RECORD.store(journal.as_raw_fd(), Ordering::Relaxed);
}

/// A record names this descriptor.
pub fn remember(number: RawFd) {
    HIGHEST.fetch_max(number, Ordering::Relaxed);
}

/// Tells the program that is about to be executed how to begin. Async-signal-safe.
pub fn note(program: &Program, mode: Mode, record: RawFd) {
    let word = MODES.iter().find(|(its, _)| *its == mode).map_or("", |(_, word)| *word);
    let mut text = Text::default();
    text.push(word.as_bytes());
    let numbers = [
        i64::from(record),
        i64::from(HIGHEST.load(Ordering::Relaxed).max(record)),
    ];
    for number in numbers {
        text.push_number(number.max(0).unsigned_abs());
    }
    for crash in &CRASHES {
        text.push_number(crash.load(Ordering::Relaxed));
    }
    program.set_note(text.bytes());
}

/// A fault of our own. Async-signal-safe; comes back only in a process that cannot be executed again.
fn on_fault(signal: i32) {
    let Some(program) = PROGRAM.get() else { return };
    let mode = count(now_ms());
    say(signal, mode);
    note(program, mode, RECORD.load(Ordering::Relaxed));
    let _ = sys::inherit::keep_all_at_exec(highest());
    hold_signals();
    let _ = program.execute_file();
    // Nothing can be executed: whoever is left is reaped from here.
    stay(None)
}

/// A successor that cannot begin has crashed.
pub fn fail(why: &str) -> ! {
    console::say_at_once(format!("svcd: {why}\n").as_bytes());
    std::process::abort()
}

/// Counts a crash, and says what is to follow.
fn count(now: u64) -> Mode {
    let recent = |at: &AtomicU64| {
        let at = at.load(Ordering::Relaxed);
        at != 0 && now.saturating_sub(at) < CRASH_WINDOW_MS
    };
    let too_many = CRASHES.iter().all(recent);
    let mut newer = now;
    for place in &CRASHES {
        newer = place.swap(newer, Ordering::Relaxed);
    }
    if too_many { Mode::Reaper } else { Mode::Crashed }
}

fn now_ms() -> u64 {
    u64::try_from(clock::mono().0.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn say(signal: i32, mode: Mode) {
    let name = Signal::try_from(signal).map_or("a fault", Signal::as_str);
    let then = match mode {
        Mode::Asked | Mode::Crashed => ": going on from what was saved\n",
        Mode::Reaper => ", the third crash within a minute: from now on only reaping; SIGHUP tries again\n",
    };
    for part in ["svcd: ", name, then] {
        console::say_at_once(part.as_bytes());
    }
}

/// Holds all signals but faults back until the successor listens to them. The mask outlives an exec.
pub fn hold_signals() {
    let mut held = SigSet::all();
    for signal in sys::fault::FAULTS {
        if let Ok(signal) = Signal::try_from(signal) {
            held.remove(signal);
        }
    }
    let _ = held.thread_set_mask();
}

/// The minimal reaper: reaps, answers nothing, keeps every descriptor that it has, so that services can go on writing
/// into their pipes. On SIGHUP it executes svcd once more. As a machine's first process nothing else ends it; elsewhere
/// SIGTERM does, and the next svcd finds the services. Async-signal-safe.
pub fn stay(resume: Option<&Resume>) -> ! {
    let mut awaited = SigSet::empty();
    awaited.add(Signal::SIGCHLD);
    awaited.add(Signal::SIGHUP);
    let _ = awaited.thread_set_mask();
    loop {
        while let Ok(Some(_)) = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {}
        if awaited.wait() == Ok(Signal::SIGHUP)
            && let (Some(program), Some(resume)) = (PROGRAM.get(), resume)
        {
            CRASHES.iter().for_each(|crash| crash.store(0, Ordering::Relaxed));
            remember(resume.highest);
            note(program, Mode::Crashed, resume.record);
            let _ = sys::inherit::keep_all_at_exec(resume.highest);
            hold_signals();
            let _ = program.execute_file();
            let _ = awaited.thread_set_mask();
        }
    }
}

/// A short text, made without allocation.
struct Text {
    bytes: [u8; sys::exec::NOTE_BYTES_MAX],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            bytes: [0; sys::exec::NOTE_BYTES_MAX],
            length: 0,
        }
    }
}

impl Text {
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = *byte;
                self.length += 1;
            }
        }
    }

    /// A space, and the number in decimal.
    fn push_number(&mut self, number: u64) {
        self.push(b" ");
        let mut power = 1_u64;
        while number / power >= 10 {
            power *= 10;
        }
        while power > 0 {
            self.push(&[b'0' + u8::try_from(number / power % 10).unwrap_or(0)]);
            power /= 10;
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are_read() {
        let mut text = Text::default();
        text.push(b"crashed");
        for number in [0, 9, 10, 1_234_567, u64::MAX] {
            text.push_number(number);
        }
        let expected = format!("crashed 0 9 10 1234567 {}", u64::MAX);
        assert_eq!(text.bytes(), expected.as_bytes());
        let resume = Resume::parse("reaper 7 52 100 90").unwrap();
        assert_eq!((resume.mode, resume.record, resume.highest), (Mode::Reaper, 7, 52));
        assert_eq!(resume.crashes, [100, 90]);
        for wrong in ["", "reaper", "fly 7 52 1 2", "asked x 1 2 3", "asked 7 99999999999 1 2"] {
            assert_eq!(Resume::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_third_crash_within_a_minute_is_one_too_many() {
        let minute = CRASH_WINDOW_MS;
        let said: Vec<Mode> = [1, 2, 3 + minute, 4 + minute, 5 + minute, 6 + minute]
            .into_iter()
            .map(count)
            .collect();
        assert_eq!(said[..4], [Mode::Crashed; 4]);
        assert_eq!(said[4..], [Mode::Reaper; 2]);
    }
}
