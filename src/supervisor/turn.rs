//! The loop: the only file that waits.
//!
//! A turn takes what the kernel reports, tells the engine, carries out what it says, and waits until the next report
//! or deadline. With nothing to do and no deadline it does not wake up at all.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::Supervisor;
use super::clock;
use super::notice;
use super::poll::{EVENTS_MAX, Source, Token};
use super::signals::{SignalKind, SignalPipe};
use crate::engine::event::{Cause, Event, Mono};

/// Waits until a process has ended, but no longer than this; true: it has.
pub(super) fn wait_for_end(pidfd: &OwnedFd, most: Duration) -> bool {
    let mut waited = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut waited, PollTimeout::try_from(most).unwrap_or(PollTimeout::MAX)).is_ok_and(|ready| ready > 0)
}

/// After the loop, reaps whoever ends, until nobody is left (true), or until then. `children` tells of ends; without it
/// there is no hurry.
pub(super) fn reap_until(children: Option<&SignalPipe>, until: Mono) -> bool {
    loop {
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Err(Errno::CHILD) => return true,
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => continue,
        }
        let left = until.0.saturating_sub(clock::mono().0);
        if left.is_zero() {
            return false;
        }
        let mut waited: Vec<PollFd<'_>> = children
            .iter()
            .map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN))
            .collect();
        let _ = poll(&mut waited, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        children.map(SignalPipe::drain);
    }
}

/// Until when all that happened is heard of. Who is late is judged by that and not by the clock: to start five thousand
/// takes longer than some of them may take to begin, and that they have begun waits to be read meanwhile.
#[derive(Default)]
struct Heard {
    until: Mono,
    /// How many turns in a row had as much to hear as one takes.
    full: u32,
}

impl Heard {
    /// After so many, reports have waited that need not end: then the clock counts.
    const FULL_MAX: u32 = 64;

    /// One turn, which has asked at that time for what there is to hear.
    fn add(&mut self, asked: Mono, reports: usize) {
        self.full = if reports == EVENTS_MAX { self.full + 1 } else { 0 };
        if self.full == 0 || self.full > Self::FULL_MAX {
            self.until = asked;
        }
    }
}

impl Supervisor {
    /// Turns until all is stopped.
    ///
    /// # Errors
    /// Where epoll_wait(2) itself fails.
    pub(super) fn run(&mut self) -> io::Result<()> {
        self.settle();
        let mut heard = Heard::default();
        while !self.stopped {
            let asked = clock::mono();
            let tokens = self.wait()?;
            if tokens.len() == EVENTS_MAX {
                // Many have ended at once, it may be: nobody stays a zombie for as long as it takes to act on all of them.
                self.reap_orphans();
                self.settle();
            }
            heard.add(asked, tokens.len());
            for token in tokens {
                self.dispatch(token);
                self.settle();
                if !self.requests.answered.is_empty() {
                    self.collect();
                }
            }
            self.on_deadlines(heard.until);
            self.settle();
            self.judge_generation();
            self.settle();
            self.collect();
            self.pin_images();
            self.history.write();
            self.watch_console();
            self.reexec_if_asked();
        }
        self.history.write();
        self.clients.flush_all(&mut self.poll);
        Ok(())
    }

    /// Waits for the next report or deadline. What has changed is saved first, unless there is something to do at once.
    fn wait(&mut self) -> io::Result<Vec<Token>> {
        if self.is_unsaved() {
            let tokens = self.poll.wait(Some(Duration::ZERO))?;
            self.save_if_due(tokens.is_empty());
            if !tokens.is_empty() {
                return Ok(tokens);
            }
        }
        let timeout = self.next_deadline().map(|due| due.0.saturating_sub(clock::mono().0));
        Ok(self.poll.wait(timeout)?)
    }

    /// Waits for standard error to take lines, as long as there are some that it did not take.
    fn watch_console(&mut self) {
        let Self {
            poll, console_token, ..
        } = self;
        notice::look_at_console(|console, behind| {
            if !behind {
                console_token
                    .take()
                    .into_iter()
                    .for_each(|token| poll.remove(console, token));
            } else if console_token.is_none() {
                // Where it cannot be waited for, the next line tries again.
                *console_token = poll.add_writable(console, Source::Console).ok();
            }
        });
    }

    /// Tells the engine all that is queued, and what follows from that, until nothing does.
    pub(super) fn settle(&mut self) {
        while let Some(event) = self.queue.pop_front() {
            self.handle(event);
        }
    }

    /// One event, and all its actions.
    pub(super) fn handle(&mut self, event: Event) {
        let units_changed = matches!(event, Event::Units { .. });
        for action in self.engine.handle(clock::now(), event) {
            self.carry_out(action);
        }
        self.look_after_main();
        if units_changed {
            let engine = &self.engine;
            self.outputs.retain(|name| engine.find(name.as_str()).is_some());
        }
    }

    fn dispatch(&mut self, token: Token) {
        let Some(source) = self.poll.source(token) else { return };
        match source {
            Source::Signal(place) => self.on_signal(place),
            Source::Directories => self.watch.on_readable(clock::mono()),
            Source::Listener => self.on_listener(),
            Source::Client(number) => self.on_client(number),
            Source::Console => notice::flush(),
            Source::Logger => self.on_logger(),
            Source::Lifeline => self.on_lifeline(),
            Source::Process(unit, who) => self.on_process(unit, who),
            Source::Report(unit, who) => self.on_report(unit, who),
            Source::Straggler(unit) => self.look_again(unit),
            Source::Oom(unit) => self.on_oom_told(unit),
            Source::Moved(number) => self.on_moved(number),
            Source::Notify(unit) => self.on_notify(unit),
            Source::Stored(unit, number) => self.on_stored_gone(unit, number),
            Source::MainLooked(unit) => self.on_main_looked(unit),
            Source::Looked(number) => self.on_looked(number),
            Source::WallClock => self.on_wall_clock(),
            Source::Stamp(number) => self.on_stamp(number),
            Source::Network => self.on_network(),
            Source::NetworksAhead => self.on_networks_ahead(),
            Source::Paths => self.on_paths(),
            Source::PathsSeen(unit) => self.on_paths_seen(unit),
            Source::Socket(unit, number) => self.on_connection(unit, number),
            Source::Opened(number) => self.on_opened(number),
        }
    }

    fn on_signal(&mut self, place: usize) {
        let Some(pipe) = self.signals.get(place) else { return };
        if !pipe.drain() {
            return;
        }
        match pipe.kind {
            SignalKind::Child => self.reap_orphans(),
            SignalKind::Reexec => self.reexec_asked = true,
            SignalKind::Reload => self.watch.mark(clock::mono()),
            SignalKind::Stop(name, power) => self.begin_shutdown(power, Cause::Signal(name.into())),
            SignalKind::Forward(signal) => self.signal_main(signal),
        }
    }

    /// Whoever started us in the foreground holds the other end, and has let go of it.
    fn on_lifeline(&mut self) {
        if let Some((lifeline, token)) = self.lifeline.take() {
            self.poll.remove(&lifeline, token);
            self.begin_shutdown(None, Cause::Signal("end of the foreground".into()));
        }
    }

    fn next_deadline(&self) -> Option<Mono> {
        let deadlines = [
            self.engine.next_deadline(),
            self.watch.deadline(),
            self.next_retry(),
            self.next_proxy(),
            self.networks.ahead.deadline(),
            self.clients.next_deadline(),
            self.next_request_deadline(),
            self.shutdown_deadline(),
            self.next_oom_look(),
            self.next_freeze_look(),
            self.next_logger_start,
            self.requests.looks.deadline(),
            self.searches.deadline(),
            self.probation_deadline(),
            self.triggers.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// What is over at the time until which all was heard.
    fn on_deadlines(&mut self, now: Mono) {
        let due = |deadline: Option<Mono>| deadline.is_some_and(|at| at <= now);
        if due(self.watch.deadline()) {
            self.reload(Cause::Files);
        }
        if due(self.next_retry()) {
            self.retry_due(now);
        }
        if due(self.next_proxy()) {
            self.proxies_due(now);
        }
        if due(self.networks.ahead.deadline()) {
            self.order_networks();
        }
        if due(self.clients.next_deadline()) {
            self.clients.drop_idle(now, &mut self.poll);
        }
        if due(self.next_request_deadline()) {
            self.requests_due(now);
        }
        if due(self.shutdown_deadline()) {
            self.shutdown_due(now);
        }
        if due(self.next_oom_look()) {
            self.oom_due(now);
        }
        if due(self.next_freeze_look()) {
            self.freeze_due(now);
        }
        if due(self.next_logger_start) {
            self.start_logger();
        }
        if due(self.requests.looks.deadline()) {
            self.looks_due(now);
        }
        if due(self.searches.deadline()) {
            self.searches_due(now);
        }
        if due(self.probation_deadline()) {
            self.end_probation();
        }
        if due(self.triggers.next_deadline()) {
            self.timers_due();
        }
        if due(self.engine.next_deadline()) {
            self.queue.push_back(Event::Tick { heard: now });
        }
    }

    fn on_logger(&mut self) {
        for message in self.outputs.receive() {
            match message {
                crate::log::Message::Flushed(token) => self.on_flushed(token),
                crate::log::Message::Dead => {
                    tracing::warn!("the log process ended; starting another");
                    self.next_logger_start = Some(clock::mono());
                    if let Some(token) = self.logger_token.take() {
                        self.poll.remove(&self.outputs, token);
                    }
                }
            }
        }
    }

    /// Starts the log process again; where the machine is short of something, a little later.
    fn start_logger(&mut self) {
        const PAUSE: Duration = Duration::from_millis(500);
        self.next_logger_start = None;
        let started = self
            .outputs
            .restart()
            .and_then(|()| Ok(self.poll.add(&self.outputs, Source::Logger)?));
        match started {
            Ok(token) => self.logger_token = Some(token),
            Err(error) => {
                tracing::warn!("log process: {error}; trying again");
                self.next_logger_start = Some(Mono(clock::mono().0 + PAUSE));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_wait_for_what_is_unheard_and_not_for_a_flood() {
        let at = |seconds| Mono(Duration::from_secs(seconds));
        let mut heard = Heard::default();
        heard.add(at(1), EVENTS_MAX - 1);
        assert_eq!(heard.until, at(1));
        for nth in 0..u64::from(Heard::FULL_MAX) {
            heard.add(at(2 + nth), EVENTS_MAX);
            assert_eq!(heard.until, at(1), "more may have come before that");
        }
        heard.add(at(100), EVENTS_MAX);
        assert_eq!(heard.until, at(100), "it has gone on for too long");
        heard.add(at(101), 0);
        heard.add(at(102), EVENTS_MAX);
        assert_eq!(heard.until, at(101), "and is over");
    }
}
