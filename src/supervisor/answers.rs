//! The engine's words, and the kernel's, as what clients see: [`crate::control::view`].
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what means nothing here is dropped, whatever is added to the enum"
)]

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::Supervisor;
use super::files::is_cycle;
use super::lives::Life;
use super::processes;
use crate::cgroup::Group;
use crate::control::call::Request;
use crate::control::reply::{Failure, reply};
use crate::control::returns;
use crate::control::view::{self, timestamp};
use crate::engine::action::{Change, Outcome};
use crate::engine::event::{Because, Cause};
use crate::engine::{StateWord, UnitId};
use crate::unit::report::Finding;
use crate::unit::{Enforcement, Kind, LinkKind, Need, Unit};

/// A dependency tree is drawn no deeper than this.
const TREE_DEPTH_MAX: u32 = 64;
/// A unit file longer than this is not valid, so none that is shown is.
const CAT_BYTES_MAX: u64 = 1 << 20;

impl Supervisor {
    /// Answers a request that changes nothing.
    pub(super) fn read_request(&mut self, request: &Request) -> Result<Vec<u8>, Failure> {
        match request {
            Request::Status { units } => {
                let ids = if units.is_empty() {
                    self.engine.ids().collect()
                } else {
                    self.named(units, false)?
                };
                let units = ids.into_iter().filter_map(|id| self.status(id)).collect();
                let log_dir = self.config.log_dir.display().to_string();
                Ok(reply(&returns::Statuses { units, log_dir }, false))
            }
            Request::Stats { units } => Ok(reply(&self.stats(units)?, false)),
            Request::List { all, failed } => {
                let lines = self.engine.ids().filter_map(|id| self.line(id));
                let units = lines.filter(|line| is_listed(line, *all, *failed)).collect();
                Ok(reply(&returns::Lines { units }, false))
            }
            Request::Show { unit } => Ok(reply(
                &returns::Values {
                    values: self.values(self.one(unit)?),
                },
                false,
            )),
            Request::Cat { unit } => Ok(reply(
                &returns::Files {
                    files: self.texts(self.one(unit)?),
                },
                false,
            )),
            Request::Dependencies { unit, reverse } => {
                let root = self.one(unit)?;
                Ok(reply(
                    &returns::Tree {
                        tree: self.tree_of(root, *reverse),
                    },
                    false,
                ))
            }
            Request::Processes { unit } => Ok(reply(
                &returns::Processes {
                    processes: self.processes_of(self.one(unit)?),
                    network: self.lives.get(&self.one(unit)?).and_then(|life| self.network_of(life)),
                },
                false,
            )),
            Request::Why { unit } => self.why(unit),
            Request::History { unit } => self.history_of(unit.as_deref()),
            _ => Ok(reply(&self.version(), false)),
        }
    }

    pub(super) fn one(&self, name: &str) -> Result<UnitId, Failure> {
        self.engine.find(name).ok_or_else(|| self.no_such_unit(name))
    }

    pub(super) fn name(&self, unit: UnitId) -> String {
        let unit = self.engine.unit(unit);
        unit.map_or_else(|| "(gone)".to_owned(), |unit| unit.name.to_string())
    }

    pub(super) fn name_and_state(&self, unit: UnitId) -> Option<(String, view::State)> {
        Some((
            self.engine.unit(unit)?.name.to_string(),
            state_word(self.engine.view(unit)?.state),
        ))
    }

    pub(super) fn status(&self, id: UnitId) -> Option<view::UnitStatus> {
        let (unit, seen) = (self.engine.unit(id)?, self.engine.view(id)?);
        let mut status = view::UnitStatus::new(unit.name.as_str(), kind_word(unit));
        status.description = unit.description.to_string();
        status.state = state_word(seen.state);
        status.since = Some(timestamp(seen.since.0));
        status.reason = seen.reason.as_deref().map(str::to_owned);
        status.result = seen.result.as_ref().map(|result| result.word().to_owned());
        status.result_text = seen.result.as_ref().map(ToString::to_string);
        status.exit_code = seen.exit_code.map(i64::from);
        status.signal = seen.signal.map(|signal| signal.to_string());
        if let Some((step, errno)) = seen.failed_step() {
            status.failed_step = Some(step.to_owned());
            status.errno = errno_name(errno);
            status.step_exit_code = Some(i64::from(crate::sandbox::exit_code(step)));
        }
        status.health = seen.health.as_ref().map(|health| self.health_of(id, health));
        status.status_text = seen.status_text.to_string();
        status.stored_descriptors = self.stores.count(id) as u64;
        status.restarts = u64::from(seen.restarts);
        status.next_try = seen.next_try.map(|at| timestamp(at.0));
        self.add_waiting(&mut status, id, &seen);
        status.findings = self.findings_of(unit).collect();
        if let Some(life) = self.lives.get(&id) {
            add_life(&mut status, life);
            status.root = self.root_of(unit, life);
            status.network = self.network_of(life);
        }
        Some(status)
    }

    fn line(&self, id: UnitId) -> Option<view::UnitLine> {
        let (unit, seen) = (self.engine.unit(id)?, self.engine.view(id)?);
        Some(view::UnitLine {
            unit: unit.name.to_string(),
            description: unit.description.to_string(),
            kind: kind_word(unit).to_owned(),
            state: state_word(seen.state),
            since: Some(timestamp(seen.since.0)),
            reason: seen.reason.as_deref().map(str::to_owned),
            result_text: seen.result.as_ref().map(ToString::to_string),
            // The number inside costs a look into /proc, which a list of a thousand does not take.
            main_pid: self.lives.get(&id).and_then(Life::main).and_then(|main| {
                Some(view::MainPid {
                    host: u32::try_from(main.pid).ok()?,
                    inside: None,
                })
            }),
            restarts: u64::from(seen.restarts),
            next_try: seen.next_try.map(|at| timestamp(at.0)),
            slice: slice_of(unit),
            memory: None,
            triggers: self.triggers_of(id),
            invalid: self.findings_of(unit).any(|finding| finding.severity == "error"),
        })
    }

    fn findings_of(&self, unit: &Unit) -> impl Iterator<Item = view::Finding> {
        let of_unit = move |finding: &&Finding| {
            let in_cycle = is_cycle(finding) && finding.message.contains(&format!(" {} (", unit.name));
            in_cycle || finding.unit.as_ref() == Some(&unit.name)
        };
        self.files.findings.iter().filter(of_unit).map(view::Finding::from)
    }

    fn values(&self, id: UnitId) -> Vec<view::ShownValue> {
        let unit = self.engine.unit(id);
        let shown = unit.map(|unit| crate::unit::show::effective(unit)).unwrap_or_default();
        let shown = shown.into_iter().map(|value| view::ShownValue {
            table: value.table.to_string(),
            key: value.key.to_string(),
            value: value.value.to_string(),
            origin: value.origin.to_string(),
        });
        self.with_network(id, shown.collect())
    }

    fn texts(&self, id: UnitId) -> Vec<view::UnitFile> {
        let files = self
            .engine
            .unit(id)
            .map(|unit| unit.origin.files.clone())
            .unwrap_or_default();
        let read = |path: &str| {
            let small = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.size() <= CAT_BYTES_MAX);
            small.then(|| fs::read_to_string(path).ok()).flatten()
        };
        files
            .iter()
            .map(|path| view::UnitFile {
                path: path.to_string(),
                text: read(path).unwrap_or_else(|| "# no longer there, or not readable\n".to_owned()),
            })
            .collect()
    }

    /// Depth first, each unit's own tree once.
    fn tree_of(&self, root: UnitId, reverse: bool) -> Vec<view::Dependency> {
        let mut lines = Vec::new();
        let mut drawn = std::collections::BTreeSet::new();
        let mut stack = vec![(0_u32, self.name(root), String::new(), Some(root))];
        while let Some((depth, unit, link, id)) = stack.pop() {
            let below = match id {
                Some(id) if depth < TREE_DEPTH_MAX => self.engine.dependencies(id, reverse),
                _ => Vec::new(),
            };
            let repeated = !below.is_empty() && !drawn.insert(id);
            if !repeated {
                let children = below.into_iter().rev();
                stack.extend(children.map(|(kind, name, id)| (depth + 1, name.to_string(), link_text(kind), id)));
            }
            let state = id.and_then(|id| self.name_and_state(id)).map(|(_, state)| state);
            lines.push(view::Dependency {
                depth,
                unit,
                link,
                state,
                repeated,
            });
        }
        lines
    }

    fn processes_of(&self, id: UnitId) -> Vec<view::Process> {
        self.lives.get(&id).map(processes::of).unwrap_or_default()
    }

    pub(super) fn outcome_view(&self, unit: UnitId, outcome: Outcome) -> view::Outcome {
        let (kind, why) = match outcome {
            Outcome::Done => (view::OutcomeKind::Done, None),
            Outcome::Failed(why) => (view::OutcomeKind::Failed, Some(why)),
            Outcome::Refused(why) => (view::OutcomeKind::Refused, Some(why)),
            Outcome::Unenforceable(why) => (view::OutcomeKind::Refused, Some(why)),
            Outcome::Superseded(why) => (view::OutcomeKind::Superseded, Some(why)),
        };
        view::Outcome {
            why: why.map(String::from),
            ..self.outcome_without_answer(unit, kind)
        }
    }

    pub(super) fn outcome_without_answer(&self, unit: UnitId, outcome: view::OutcomeKind) -> view::Outcome {
        let (name, state) = self
            .name_and_state(unit)
            .unwrap_or_else(|| (String::new(), view::State::Inactive));
        let result = self.engine.view(unit).and_then(|view| view.result);
        view::Outcome {
            unit: name,
            outcome,
            why: None,
            hint: None,
            state,
            result_text: result.map(|r| r.to_string()),
        }
    }

    fn version(&self) -> view::Version {
        let text = |path: &std::path::Path| path.display().to_string();
        view::Version {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: rustix::process::getpid().as_raw_nonzero().get().unsigned_abs(),
            since: timestamp(self.since.wall.0),
            units: self.files.path.directories().iter().map(|dir| text(dir)).collect(),
            runtime_dir: text(&self.config.runtime_dir),
            state_dir: text(&self.config.state_dir),
            log_dir: text(&self.config.log_dir),
            cgroup: match self.tree.unavailable() {
                Some(_) => String::new(),
                None => self.config.cgroup.clone(),
            },
            reload: match self.settings.reload.mode {
                super::settings::ReloadMode::Auto => "auto".to_owned(),
                super::settings::ReloadMode::Manual => "manual".to_owned(),
            },
            in_force: self.in_force(),
        }
    }
}

/// What the kernel says of a unit that runs.
fn add_life(status: &mut view::UnitStatus, life: &Life) {
    status.main_pid = life.main().and_then(|main| {
        let host = u32::try_from(main.pid).ok()?;
        Some(view::MainPid {
            host,
            inside: processes::inside_pid(main.pid),
        })
    });
    status.frozen = life.frozen;
    let limits = life.group.as_ref().map_or(life.unheld.as_slice(), Group::enforcement);
    let keys = life.sandbox.keys().iter().chain(limits);
    status.isolation = keys
        .map(|(key, enforcement)| (key.to_string(), enforcement_text(enforcement)))
        .collect();
    let Some(group) = &life.group else { return };
    status.cgroup = Some(group.path().to_owned());
    for usage in group.usage() {
        // Microseconds of CPU in each second are ten-thousandths of a percent of one CPU.
        let is_quota = *usage.key == *"cpu-quota";
        let amount = |value: u64| {
            if is_quota {
                view::Amount(value as f64 / 10_000.0)
            } else {
                view::Amount::from(value)
            }
        };
        let limit = view::Limit {
            limit: usage.limit.map(amount),
            current: usage.current.map(amount),
            peak: usage.peak.map(amount),
        };
        status.limits.insert(usage.key.to_string(), limit);
    }
    status.usage = Some(super::stats::usage(life));
}

fn enforcement_text(enforcement: &Enforcement) -> String {
    match enforcement {
        Enforcement::Enforced => "enforced".to_owned(),
        Enforcement::Skipped(why) => format!("skipped: {why}"),
    }
}

fn is_listed(line: &view::UnitLine, all: bool, failed: bool) -> bool {
    match line.state {
        view::State::Failed | view::State::Blocked | view::State::Backoff if failed => true,
        _ if failed => false,
        view::State::Inactive | view::State::Masked | view::State::Skipped => all || line.invalid,
        _ => true,
    }
}

pub(super) fn state_word(state: StateWord) -> view::State {
    match state {
        StateWord::Inactive => view::State::Inactive,
        StateWord::Waiting => view::State::Waiting,
        StateWord::Starting => view::State::Starting,
        StateWord::Running => view::State::Running,
        StateWord::Stopping => view::State::Stopping,
        StateWord::Failed => view::State::Failed,
        StateWord::Backoff => view::State::Backoff,
        StateWord::Blocked => view::State::Blocked,
        StateWord::Skipped => view::State::Skipped,
        StateWord::Masked => view::State::Masked,
    }
}

pub(super) fn kind_word(unit: &Unit) -> &'static str {
    match unit.kind {
        Kind::Masked => "masked",
        Kind::Target => "target",
        Kind::Slice(_) => "slice",
        Kind::Mount(_) => "mount",
        Kind::Service(_) => "service",
    }
}

fn slice_of(unit: &Unit) -> Option<String> {
    let slice = match &unit.kind {
        Kind::Service(service) => service.resources.slice.as_ref(),
        Kind::Slice(resources) => resources.slice.as_ref(),
        Kind::Masked | Kind::Target | Kind::Mount(_) => None,
    };
    slice.map(ToString::to_string)
}

fn link_text(kind: LinkKind) -> String {
    let word = match kind {
        LinkKind::WantedBy => "wanted-by",
        LinkKind::Requires(Need::Started) => "requires (started)",
        LinkKind::Requires(Need::Ready) => "requires (ready)",
        LinkKind::Requires(Need::Healthy) => "requires (healthy)",
        LinkKind::Requires(Need::Exited) => "requires (exited)",
        LinkKind::Requires(Need::Succeeded) => "requires (succeeded)",
        LinkKind::Wants => "wants",
        LinkKind::BindsTo => "binds-to",
        LinkKind::PartOf => "part-of",
        LinkKind::After => "after",
        LinkKind::Before => "before",
        LinkKind::Conflicts => "conflicts",
        LinkKind::OnFailure => "on-failure",
        LinkKind::OnSuccess => "on-success",
    };
    word.to_owned()
}

pub(super) fn because_text(because: Because) -> &'static str {
    match because {
        Because::RequiredBy => "required by",
        Because::WantedBy => "wanted by",
        Because::BoundTo => "bound to",
        Because::PartOf => "part of",
        Because::ConflictsWith => "in conflict with",
        Because::OnFailureOf => "the failure of",
        Because::OnSuccessOf => "the success of",
        Because::StoppedWith => "stopped with",
        Because::BackWith => "back with",
        Because::BadHealthOf => "the bad health of",
    }
}

pub(super) fn cause_of(change: &Change) -> Option<&Cause> {
    match change {
        Change::Starting { by }
        | Change::Stopping { by }
        | Change::Signalled { by, .. }
        | Change::Updated { by, .. } => Some(by),
        _ => None,
    }
}

pub(super) fn errno_name(errno: i32) -> Option<String> {
    (errno != 0).then(|| crate::unit::value::errno_name(errno))
}
