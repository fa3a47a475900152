//! The log process: a child of svcd's that has nothing but the units' pipes and their files. It has its own loop, takes
//! a block of each unit in turn, and waits for nothing but more to do.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};

use super::block::{Bounds, assemble};
use super::source::Source;
use super::spool::{Phase, Scratch, Spool};
use super::stamp;
use super::store::Store;
use super::turn::Left;
use super::wire::{self, Policy, Request};

/// What is read at once. More gains nothing, and would be slower to share among units.
pub const BLOCK_BYTES: usize = 256 << 10;
/// In the loop's eyes, svcd is a source with this number.
const SVCD: u64 = u64::MAX;

/// All that the log process has.
pub struct Process<'a> {
    pub(super) socket: BorrowedFd<'a>,
    pub(super) spool: &'a Spool,
    pub(super) scratch: Scratch,
    pub(super) null: BorrowedFd<'a>,
    pub(super) epoll: OwnedFd,
    pub(super) store: Store,
    pub(super) sources: Vec<Source>,
    pub(super) names: BTreeMap<Box<str>, usize>,
    /// Places in `sources` that nobody has, and those that an event may still come for before we wait again.
    free: Vec<usize>,
    freed: Vec<usize>,
    /// Units that may have more in their pipes, first come first served.
    pub(super) ready: VecDeque<usize>,
    /// Tokens that svcd has not taken yet.
    pub(super) answers: VecDeque<u64>,
    /// The next time that something is due with nothing in a pipe. Since boot.
    pub(super) due: Option<Duration>,
    /// svcd is gone, or has said that this is the end.
    pub(super) svcd_gone: bool,
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
}

/// Runs until svcd says so; or, if svcd is gone without a word, until no unit has a writer any more.
pub fn run(socket: BorrowedFd<'_>, spool: &Spool, dir: OwnedFd, null: BorrowedFd<'_>, budget: u64) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let both_ways = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
    epoll::add(&epoll, socket, epoll::EventData::new_u64(SVCD), both_ways)?;
    let mut process = Process {
        socket,
        spool,
        scratch: Scratch::new(spool)?,
        null,
        epoll,
        store: Store::open(dir, budget),
        sources: Vec::new(),
        names: BTreeMap::new(),
        free: Vec::new(),
        freed: Vec::new(),
        ready: VecDeque::new(),
        answers: VecDeque::new(),
        due: None,
        svcd_gone: false,
        input: Vec::with_capacity(BLOCK_BYTES),
        output: Vec::new(),
    };
    process.recover()?;
    match process.work() {
        Ok(never) => match never {},
        Err(End::Wanted) => Ok(()),
        Err(End::Failed(error)) => Err(error),
    }
}

/// Why the loop ends.
enum End {
    Wanted,
    Failed(io::Error),
}

impl<E: Into<io::Error>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Process<'_> {
    /// Brings a block to its end that the process before this one was killed over.
    fn recover(&mut self) -> io::Result<()> {
        let Some(record) = self.spool.noted()? else {
            return Ok(());
        };
        self.output.clear();
        if record.phase == Phase::In && self.spool.fill()? > 0 {
            self.spool.peek(&self.scratch, &mut self.input)?;
            let bounds = Bounds {
                room: usize::MAX,
                line: usize::MAX - 1,
                lines: u64::MAX,
                whole: true,
            };
            assemble(&self.input, &stamp::text(stamp::now()), &bounds, &mut self.output);
            // Where the file cannot be had, the lines are lost, as they are with any full disk.
            if self.store.attach(&record.unit, u64::MAX).is_ok() {
                let _ = self.store.cut(&record.unit, record.size);
                if let Ok(size) = self.store.prepare(&record.unit, self.output.len()) {
                    let _ = self.store.append(&record.unit, size, &self.output);
                }
                self.store.detach(&record.unit);
            }
        }
        self.spool.clear(self.null)
    }

    /// The loop.
    fn work(&mut self) -> Result<Infallible, End> {
        let mut events = [MaybeUninit::uninit(); 64];
        loop {
            self.free.append(&mut self.freed);
            let timeout = self.timeout();
            let (events, _) = match epoll::wait(&self.epoll, &mut events[..], timeout.as_ref()) {
                Err(rustix::io::Errno::INTR) => continue,
                events => events?,
            };
            for event in events {
                match event.data.u64() {
                    SVCD => self.hear()?,
                    number => self.rouse(number as usize, event.flags),
                }
            }
            if let Some(index) = self.ready.pop_front() {
                self.serve(index);
            }
            self.tell_what_is_due();
            let open = |source: &Source| source.pipe.is_some();
            if self.svcd_gone && self.ready.is_empty() && !self.sources.iter().any(open) {
                return Err(End::Wanted);
            }
        }
    }

    fn timeout(&self) -> Option<Timespec> {
        let wait = match self.due {
            _ if !self.ready.is_empty() => Duration::ZERO,
            due => due?.saturating_sub(stamp::monotonic()),
        };
        Timespec::try_from(wait).ok()
    }

    fn rouse(&mut self, index: usize, flags: epoll::EventFlags) {
        if let Some(source) = self.sources.get_mut(index) {
            source.ended |= flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR);
        }
        self.queue(index);
    }

    fn queue(&mut self, index: usize) {
        if let Some(source) = self.sources.get_mut(index)
            && !std::mem::replace(&mut source.queued, true)
        {
            self.ready.push_back(index);
        }
    }

    fn serve(&mut self, index: usize) {
        if let Some(source) = self.sources.get_mut(index) {
            source.queued = false;
        }
        match self.turn(index, None).1 {
            Left::Nothing => {}
            Left::More => self.queue(index),
            Left::End => self.let_go(index),
        }
    }

    /// Takes what svcd has to say, and says what svcd has not taken yet.
    fn hear(&mut self) -> Result<(), End> {
        self.answer();
        loop {
            match wire::receive(self.socket) {
                Ok(Some((request, descriptor))) => self.carry_out(request, descriptor)?,
                Ok(None) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.svcd_gone = true;
        Ok(epoll::delete(&self.epoll, self.socket)?)
    }

    fn answer(&mut self) {
        while let Some(token) = self.answers.front() {
            match wire::acknowledge(self.socket, *token) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // With svcd gone there is nobody to tell.
                Ok(()) | Err(_) => self.answers.pop_front(),
            };
        }
    }

    fn carry_out(&mut self, request: Request, descriptor: Option<OwnedFd>) -> Result<(), End> {
        match request {
            Request::Attach { unit, policy } => self.attach(unit, policy, descriptor)?,
            Request::Update { unit, policy } => {
                if let Some(source) = self.names.get(&unit).and_then(|index| self.sources.get_mut(*index)) {
                    source.rate.set(policy.rate);
                    let _ = self.store.set_cap(&unit, policy.max_size);
                    source.policy = policy;
                }
            }
            Request::Detach { unit, remove } => {
                if let Some(index) = self.names.remove(&unit) {
                    self.drain(index);
                    self.let_go(index);
                    self.settle(index, Duration::MAX);
                    self.store.detach(&unit);
                    self.freed.push(index);
                }
                if remove {
                    self.store.remove(&unit);
                }
            }
            Request::Flush { unit, token } => {
                if let Some(index) = self.names.get(&unit).copied() {
                    self.drain(index);
                    self.settle(index, Duration::MAX);
                }
                self.answers.push_back(token);
                self.answer();
            }
            Request::Stop => {
                for index in 0..self.sources.len() {
                    self.drain(index);
                    self.settle(index, Duration::MAX);
                }
                return Err(End::Wanted);
            }
        }
        Ok(())
    }

    fn attach(&mut self, unit: Box<str>, policy: Policy, pipe: Option<OwnedFd>) -> io::Result<()> {
        let index = match self.names.get(&unit) {
            Some(index) => *index,
            None => {
                let new = Source::new(unit.clone(), policy.clone());
                let index = self.free.pop().unwrap_or(self.sources.len());
                match self.sources.get_mut(index) {
                    Some(source) => *source = new,
                    None => self.sources.push(new),
                }
                self.names.insert(unit.clone(), index);
                index
            }
        };
        // Of an earlier pipe, all comes before what is in the new one.
        self.drain(index);
        self.let_go(index);
        let attached = self.store.attach(&unit, policy.max_size);
        let Some((source, pipe)) = self.sources.get_mut(index).zip(pipe) else {
            return Ok(());
        };
        if let Err(error) = attached {
            source.in_trouble(0, &error);
        }
        source.rate.set(policy.rate);
        source.policy = policy;
        source.ended = false;
        let when = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &pipe, epoll::EventData::new_u64(index as u64), when)?;
        source.pipe = Some(pipe);
        self.queue(index);
        Ok(())
    }

    /// Lets a pipe go. svcd has it open too, so that closing it would not end its being watched.
    fn let_go(&mut self, index: usize) {
        if let Some(pipe) = self.sources.get_mut(index).and_then(|source| source.pipe.take()) {
            let _ = epoll::delete(&self.epoll, &pipe);
        }
    }

    /// Takes all that is in a pipe now; a last line without an end is ended.
    fn drain(&mut self, index: usize) {
        let Some(mut left) = self.sources.get(index).and_then(Source::fill) else {
            return;
        };
        while left > 0 {
            match self.turn(index, Some(left)).0 {
                0 => return,
                taken => left = left.saturating_sub(taken),
            }
        }
    }

    pub(super) fn remember_due(&mut self, index: usize) {
        let due = self.sources.get(index).and_then(Source::due);
        self.due = [self.due, due].into_iter().flatten().min();
    }

    fn tell_what_is_due(&mut self) {
        let now = stamp::monotonic();
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        for index in 0..self.sources.len() {
            if self
                .sources
                .get(index)
                .and_then(Source::due)
                .is_some_and(|due| due <= now)
            {
                self.settle(index, now);
            }
            self.remember_due(index);
        }
    }
}
