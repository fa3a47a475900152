//! The end: every unit down, in reverse order, within one time; then, where svcd is an init, all else that runs, and, on
//! a machine, its file systems and itself.
//!
//! What is waited for is said, so that whoever stands before a machine that does not go knows why.

use std::time::Duration;

use super::Supervisor;
use super::children::signal;
use super::clock;
use super::keep::SELF;
use super::kept::KeptShutdown;
use super::processes;
use super::signals::{SignalKind, SignalPipe};
use super::turn;
use crate::cgroup::Group;
use crate::control::reply::{Failure, Told, reply};
use crate::control::{self, returns};
use crate::engine::StateWord;
use crate::engine::event::{Cause, Event, Mono};
use crate::init::{Role, shutdown as init};
use crate::sys::child::exit;
use crate::sys::clone::{Cloned, clone3};
use crate::unit::Signal;

/// A stop that takes longer than this is spoken of, again and again.
const WORD_EVERY: Duration = Duration::from_secs(5);

/// So many lines say enough, however many units there are.
const WORDS_MAX: usize = 10;

/// The log process has this long to write what is left.
const LOGGER_END_MAX: Duration = Duration::from_secs(5);

/// An end that has begun.
#[derive(Debug)]
pub struct Shutdown {
    power: Option<control::Power>,
    begun: Mono,
    timeout: Duration,
    next_word: Mono,
}

impl Shutdown {
    /// When this much of the time is over, in twelfths.
    fn after(&self, twelfths: u32) -> Mono {
        Mono(self.begun.0 + self.timeout / 12 * twelfths)
    }

    /// Units have two thirds of the time. What is left of them is then asked and ended with all other processes; and
    /// since a disk may be slow, file systems have at least a sixth.
    fn units_until(&self) -> Mono {
        self.after(8)
    }

    fn asked_until(&self) -> Mono {
        self.after(9)
    }

    fn processes_until(&self) -> Mono {
        self.after(10)
    }

    fn until(&self) -> Mono {
        self.after(12)
    }
}

impl Supervisor {
    /// Carries a client's wish out: all stops, and what svcd is the init of ends.
    pub(super) fn shutdown_request(&mut self, power: Option<control::Power>, by: Cause) -> Result<Vec<u8>, Failure> {
        if let Some(power) = power.filter(|_| self.role == Role::Plain) {
            return Err(Failure::Refused(Told {
                what: power.word().to_owned(),
                why: format!(
                    "svcd is process {} here, and not the init of a machine or a container",
                    std::process::id()
                ),
                hint: Some("`svc stop '*'` stops its units".to_owned()),
            }));
        }
        self.begin_shutdown(power, by);
        Ok(reply(&returns::Ending::default(), false))
    }

    /// Begins the end. Once it has begun, another wish only changes what becomes of the machine.
    pub(super) fn begin_shutdown(&mut self, power: Option<control::Power>, by: Cause) {
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.power = power.or(shutdown.power);
            return self.keep.touch(SELF);
        }
        let begun = clock::mono();
        self.shutdown = Some(Shutdown {
            power,
            begun,
            timeout: self.settings.shutdown.timeout,
            next_word: Mono(begun.0 + WORD_EVERY),
        });
        self.keep.touch(SELF);
        self.pause_probation();
        self.queue.push_back(Event::Shutdown { by });
    }

    /// An end that had begun goes on as it was.
    pub(super) fn restore_shutdown(&mut self, kept: &KeptShutdown) {
        self.shutdown = Some(Shutdown {
            power: control::Power::ALL
                .into_iter()
                .find(|power| power.word() == &*kept.power),
            begun: kept.begun,
            timeout: kept.timeout,
            next_word: clock::mono(),
        });
    }

    /// What [`Supervisor::restore_shutdown`] needs.
    pub(super) fn keep_shutdown(&self) -> Option<KeptShutdown> {
        let shutdown = self.shutdown.as_ref()?;
        Some(KeptShutdown {
            power: shutdown.power.map_or("", control::Power::word).into(),
            begun: shutdown.begun,
            timeout: shutdown.timeout,
        })
    }

    pub(super) fn shutdown_deadline(&self) -> Option<Mono> {
        let shutdown = self.shutdown.as_ref()?;
        Some(shutdown.next_word.min(shutdown.units_until()))
    }

    /// Says who is waited for, and at the end of the units' time waits no more.
    pub(super) fn shutdown_due(&mut self, now: Mono) {
        let Some(shutdown) = &mut self.shutdown else { return };
        let (until, word) = (shutdown.units_until(), shutdown.next_word <= now);
        if word {
            shutdown.next_word = Mono(now.0 + WORD_EVERY);
        }
        let left = until.0.saturating_sub(now.0);
        if left.is_zero() {
            tracing::error!("units had {:?} to stop, and that is over", shutdown.timeout / 3 * 2);
            self.stopped = true;
            say("did not stop:", &self.waited_for(), None);
        } else if word {
            say("waiting for", &self.waited_for(), Some(left));
        }
    }

    /// `web: 4711 /usr/bin/web`, for each unit that does not go.
    fn waited_for(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (unit, life) in self.lives.iter() {
            let stops = |state| matches!(state, StateWord::Stopping | StateWord::Failed);
            if !self.engine.view(*unit).is_some_and(|view| stops(view.state)) {
                continue;
            }
            let members = life.members();
            let Some(first) = members.iter().find_map(|pid| processes::process(*pid, false)) else {
                continue;
            };
            let more = match members.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            lines.push(format!("{}: {} {}{more}", life.unit.name, first.host, first.command));
        }
        lines.sort();
        lines
    }

    /// All is stopped, or given up: the last lines are written, and nothing is left behind. Gives the exit status for svcd; a
    /// machine's init does not come back.
    ///
    /// # Errors
    /// In one line, which units did not stop.
    pub(super) fn finish(mut self) -> Result<u8, String> {
        let now = clock::mono();
        let shutdown = self.shutdown.take().unwrap_or(Shutdown {
            power: None,
            begun: now,
            timeout: self.settings.shutdown.timeout,
            next_word: now,
        });
        let (role, status, stuck) = (self.role, self.main_status(), self.waited_for());
        if role == Role::Plain && !stuck.is_empty() {
            self.kill_what_is_left();
        }
        let children = self.signals.iter().position(|pipe| pipe.kind == SignalKind::Child);
        let children = children.map(|place| self.signals.swap_remove(place));
        let groups: Vec<Group> = self.lives.take_all().filter_map(|life| life.group).collect();
        let step = shutdown.timeout / 12;
        // Who makes namespaces for services to come has nothing to wait for any more.
        self.networks.ahead = Default::default();
        turn::wait_for_end(&self.outputs.stop(), LOGGER_END_MAX.min(step));
        match role {
            Role::Machine | Role::Container => end_everyone(children.as_ref(), &shutdown),
            Role::Plain if stuck.is_empty() => {}
            Role::Plain => drop(turn::reap_until(children.as_ref(), Mono(clock::mono().0 + step))),
        }
        for group in groups {
            if let Err(error) = group.remove() {
                tracing::warn!("{}: {error}", group.path());
            }
        }
        self.tree.remove_base();
        // What was set until the next boot was set for units that run.
        drop(self.files.path.overrides().map(std::fs::remove_dir_all));
        super::transient::remove_all(&self.config);
        self.keep.end();
        super::sweep::remove_roots(&self.config);
        super::network::remove_names(&self.config);
        super::notify::remove_directories(&self.config);
        // Whoever looks finds no supervisor, with or without the file.
        for name in ["control.sock", control::STATE_LINK] {
            drop(std::fs::remove_file(self.config.runtime_dir.join(name)));
        }
        match role {
            Role::Machine => end_machine(&shutdown),
            Role::Plain if !stuck.is_empty() => Err(format!("did not stop: {}", stuck.join("; "))),
            Role::Container | Role::Plain => Ok(status),
        }
    }

    fn kill_what_is_left(&self) {
        for (_, life) in self.lives.iter() {
            let killed = life.group.as_ref().map_or(Ok(()), Group::kill_all);
            if let Err(error) = killed {
                tracing::warn!("{}: kill: {error}", life.unit.name);
            }
            for (_, process) in &life.commands {
                signal(&process.pidfd, Signal::KILL);
            }
        }
    }
}

/// Ends whatever still runs, by the first process's right.
fn end_everyone(children: Option<&SignalPipe>, shutdown: &Shutdown) {
    let steps: [(fn(), Mono, &str); 2] = [
        (init::ask_everyone_to_end, shutdown.asked_until(), "killing"),
        (init::end_everyone, shutdown.processes_until(), "not even killed:"),
    ];
    for (step, until, word) in steps {
        if turn::reap_until(children, clock::mono()) {
            return;
        }
        step();
        if turn::reap_until(children, until) {
            return;
        }
        say(word, &processes::left(), None);
    }
}

fn say(word: &str, lines: &[String], left: Option<Duration>) {
    let left = left.map(|left| format!("; {} s left", left.as_millis().div_ceil(1000)));
    for line in lines.iter().take(WORDS_MAX) {
        tracing::warn!("{word} {line}{}", left.as_deref().unwrap_or_default());
    }
    if let Some(more) = lines.len().checked_sub(WORDS_MAX).filter(|more| *more > 0) {
        tracing::warn!("{word} {more} more");
    }
}

/// A process of its own lets go of the file systems, since that may block: it has what is left of the time.
fn end_machine(shutdown: &Shutdown) -> ! {
    match clone3(0, None) {
        Ok(Cloned::Child) => {
            init::release_file_systems();
            exit(0)
        }
        Ok(Cloned::Parent { pidfd, .. }) => {
            let left = shutdown.until().0.saturating_sub(clock::mono().0);
            if !turn::wait_for_end(&pidfd, left) {
                tracing::error!("file systems are still in use");
            }
        }
        Err(error) => tracing::error!("file systems are not unmounted: {error}"),
    }
    let (word, power) = match shutdown.power {
        None | Some(control::Power::Off) => ("powering off", init::Power::Off),
        Some(control::Power::Reboot) => ("rebooting", init::Power::Reboot),
        Some(control::Power::Halt) => ("halting", init::Power::Halt),
    };
    tracing::info!("{word}");
    tracing::error!("{word}: {}", init::end_machine(power));
    // The end of the first process would be a panic of the kernel.
    loop {
        turn::reap_until(None, Mono(clock::mono().0 + WORD_EVERY));
    }
}
