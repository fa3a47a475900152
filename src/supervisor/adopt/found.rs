//! Processes of a former life that no run is known of, found by their cgroups.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::cgroup::Group;
use crate::engine::event::{Event, Role};
use crate::engine::{RunId, UnitId};
use crate::supervisor::Supervisor;
use crate::supervisor::former::Salvaged;
use crate::supervisor::lives::{Life, Process};
use crate::supervisor::network::is_proxy;
use crate::supervisor::poll::{Source, Who};
use crate::supervisor::processes;
use crate::unit::{Kind, Unit, UnitName};

/// The first of the numbers that groups of nobody go under; no engine has so many units.
const NOBODY: u64 = u64::MAX - 65_536;

impl Supervisor {
    /// Looks for cgroups with processes that no run is known of. With `as_running`, they are the units that they are
    /// named after, with the pipes of their outputs; else they are ended. Those of no unit are ended.
    pub(in crate::supervisor) fn adopt_groups(&mut self, as_running: bool, salvaged: &mut Salvaged) {
        // Mostly there is nothing, and then no unit need be looked at.
        if self.tree.strangers(&self.claimed()).is_empty() {
            return;
        }
        let units: Vec<UnitId> = self.engine.ids().collect();
        for unit in units
            .into_iter()
            .filter(|unit| self.lives.get(unit).is_none())
            .collect::<Vec<_>>()
        {
            self.adopt_group(unit, as_running, salvaged);
        }
        for (number, group) in (NOBODY..).zip(self.tree.strangers(&self.claimed())) {
            self.end_strangers(UnitId(number), group);
        }
    }

    /// The groups of all runs, by their paths.
    fn claimed(&self) -> BTreeSet<String> {
        let groups = self.lives.iter().filter_map(|(_, life)| life.group.as_ref());
        groups.map(|group| group.path().to_owned()).collect()
    }

    fn adopt_group(&mut self, unit: UnitId, as_running: bool, salvaged: &mut Salvaged) {
        let Some(definition) = self.engine.unit(unit).cloned() else {
            return;
        };
        let known = self.engine.awaited(unit).map(|(run, _)| run);
        let Some(run) = known.or_else(|| self.engine.next_run(unit)) else {
            return;
        };
        let Some(life) = self.life_of(run, &definition) else {
            return;
        };
        let Some(members) = life.group.as_ref().and_then(|group| group.members().ok()) else {
            return;
        };
        if members.is_empty() {
            let gone = life.group.as_ref().map(Group::remove);
            return drop(gone);
        }
        let (holder, main) = if as_running { who_is_who(&members) } else { (None, None) };
        tracing::warn!(
            "{}: {} processes of a former life, {}",
            definition.name,
            members.len(),
            if main.is_some() { "adopted" } else { "ended" }
        );
        self.lives.insert(unit, life);
        if let Err(failure) = self.listen_to(unit, None) {
            tracing::warn!("{}: {}", definition.name, failure.detail);
        }
        for (pid, who) in [(holder, Who::Holder), (main, Who::Command(Role::Main(0)))] {
            if let Some(pid) = pid {
                self.watch_found(unit, who, pid);
            }
        }
        if let Some(main) = main {
            self.adopt_output(&definition, main, salvaged);
        }
        if known.is_none() {
            let alive = self.lives.get(&unit).is_some_and(|life| life.main().is_some());
            self.queue.push_back(Event::Found { run, alive });
        }
    }

    fn adopt_output(&mut self, unit: &Unit, main: i32, salvaged: &mut Salvaged) {
        if let (Some(ends), Kind::Service(service)) = (salvaged.output(&unit.name, main), &unit.kind)
            && let Err(error) = self.outputs.insert(&unit.name, ends, &service.log)
        {
            tracing::warn!("{}: log pipe: {error}", unit.name);
        }
    }

    fn watch_found(&mut self, unit: UnitId, who: Who, pid: i32) {
        let pidfd = rustix::process::Pid::from_raw(pid)
            .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok());
        let Some(pidfd) = pidfd else { return };
        // The number may be somebody else's by now: only one that is still a member is it.
        let still = self
            .lives
            .get(&unit)
            .and_then(|life| life.group.as_ref()?.members().ok());
        let Ok(token) = self.poll.add(&pidfd, Source::Process(unit, who)) else {
            return;
        };
        if !still.is_some_and(|members| members.contains(&pid)) {
            return self.poll.remove(&pidfd, token);
        }
        self.owners.insert(pid, (unit, who));
        let process = Process {
            pid,
            pidfd,
            token,
            report: None,
            failed: false,
        };
        if let Some(life) = self.lives.get_mut(&unit) {
            life.put(who, process);
        }
    }

    /// A group of nobody, ended and removed as that of a run is, under a number that no unit has.
    fn end_strangers(&mut self, number: UnitId, group: Group) {
        let members = group.members().unwrap_or_default();
        if !members.is_empty() {
            tracing::warn!("{}: {} processes of a former life, ended", group.path(), members.len());
            drop(group.kill_all());
        }
        let run = RunId { unit: number, nth: 0 };
        let nobody = Rc::new(Unit::target(UnitName::default_target()));
        let Some(sandbox) = self.no_sandbox() else { return };
        let mut life = Life::new(run, nobody, Some(group), sandbox);
        life.releasing = true;
        self.lives.insert(number, life);
        self.look_again(number);
    }
}

/// The holder and the main process among the members of a unit's cgroup, as far as can be told from outside: the holder
/// runs our reaper; the main process is the oldest whose parent is not among them.
fn who_is_who(members: &[i32]) -> (Option<i32>, Option<i32>) {
    let holder = members.iter().copied().find(|pid| is_reaper(*pid));
    let outsiders = members
        .iter()
        .copied()
        .filter(|pid| Some(*pid) != holder && !is_proxy(*pid))
        .filter(|pid| processes::parent(*pid).is_none_or(|parent| !members.contains(&parent)));
    let main = outsiders.min_by_key(|pid| processes::start_time(*pid).unwrap_or(u64::MAX));
    (holder, main)
}

/// Whether a process executes the reaper, which no file has.
pub fn is_reaper(pid: i32) -> bool {
    let link = processes::file(pid, "exe").and_then(|path| std::fs::read_link(path).ok());
    link.is_some_and(|link| link.as_os_str().as_encoded_bytes().starts_with(b"/memfd:svc-reaper"))
}
