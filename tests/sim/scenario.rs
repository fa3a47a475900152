//! What is played: units with their links, and what operators, editors and clocks do to them. All of it follows from a
//! seed, and all of it is plain data, so that a failure can be made smaller piece by piece.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use svc::engine::event::Verb;
use svc::unit::{
    Command, Condition, ConditionTest, GiveUp, KillMode, Kind, Link, LinkKind, Need, Place, RestartPolicy, Service,
    ServiceType, Signal, Unit, UnitName,
};

use crate::activation::Activation;
pub use crate::random::Random;

/// What a unit gets in place of SIGHUP to reload, so that it does not die of it.
pub const RELOAD_SIGNAL: Signal = Signal(12);

#[derive(Clone)]
pub struct Scenario {
    pub seed: u64,
    pub chaos: Chaos,
    /// Unit `uN` is the Nth; None: it has no file at first.
    pub units: Vec<Option<Spec>>,
    /// Each with the microseconds since the one before.
    pub steps: Vec<(u64, Step)>,
    /// Every unit is asked to stop before svcd itself is.
    pub stops_each: bool,
}

/// Only the units that have files: a small scenario may have kept the numbers of a large one.
impl fmt::Debug for Scenario {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:?}, stops_each {}", self.chaos, self.stops_each)?;
        for (place, spec) in self.units.iter().enumerate() {
            if let Some(spec) = spec {
                writeln!(out, "u{place}: {spec:?}")?;
            }
        }
        for (wait, step) in &self.steps {
            writeln!(out, "+{wait} {step:?}")?;
        }
        Ok(())
    }
}

/// How bad the world is: chances in percent.
#[derive(Clone, Copy, Debug)]
pub struct Chaos {
    /// A spawn fails.
    pub fails: u64,
    /// A process that should stay ends, a command that should succeed fails.
    pub crashes: u64,
    /// A command never ends by itself.
    pub hangs: u64,
    /// A process ignores all signals but SIGKILL.
    pub deaf: u64,
    /// SIGKILL too has to wait, as in state D.
    pub stuck: u64,
}

#[derive(Clone, Debug)]
pub enum Step {
    Ask(usize, Verb),
    /// These files are now so; None: gone.
    Edit(Vec<(usize, Option<Spec>)>),
    /// The machine sleeps for so many microseconds: all that was due meanwhile comes late.
    Sleep(u64),
    /// The wall clock is set by this many seconds.
    WallJump(i64),
}

/// A unit in few words.
#[derive(Clone, Debug)]
pub struct Spec {
    pub form: Form,
    pub links: Vec<(LinkKind, usize)>,
    pub condition: bool,
    pub assert: bool,
}

#[derive(Clone, Debug)]
pub enum Form {
    Masked,
    Target,
    Slice,
    Service(ServiceSpec),
}

#[derive(Clone, Debug)]
pub struct ServiceSpec {
    pub oneshot: bool,
    pub remain: bool,
    /// exec-start-pre, exec-start, -post, exec-reload, exec-stop, -post.
    pub commands: [usize; 6],
    pub ignore_failure: bool,
    pub reload_signal: bool,
    pub kill: KillMode,
    pub send_sigkill: bool,
    pub policy: RestartPolicy,
    pub delay: u64,
    pub stable_after: u64,
    pub give_up: Option<(u32, u64)>,
    pub timeouts: [Option<u64>; 3],
    /// A live key.
    pub log: u64,
    /// What starts it beside a wish, and what it says of itself.
    pub activation: Box<Activation>,
}

const SECOND: u64 = 1_000_000;

impl Scenario {
    /// The scenario of a seed: mostly few units, at times hundreds.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::of(&[seed, 1]);
        let count = match random.below(100) {
            0..60 => 1 + random.index(8),
            60..95 => 1 + random.index(40),
            _ => 1 + random.index(400),
        };
        let steps = random.index(40 + count);
        Self::sized(seed, count, steps)
    }

    pub fn sized(seed: u64, count: usize, steps: usize) -> Self {
        let mut random = Random::of(&[seed, 2]);
        let level = random.pick(&[0, 1, 4, 15]);
        let mut chance = |most: u64| {
            if level == 0 {
                0
            } else {
                random.below(most * level / 4 + 1)
            }
        };
        let chaos = Chaos {
            fails: chance(10),
            crashes: chance(20),
            hangs: chance(6),
            deaf: chance(10),
            stuck: chance(3),
        };
        let give_ups: Vec<_> = (0..count).map(|_| give_up(&mut random)).collect();
        let units = (0..count)
            .map(|place| (!random.percent(5)).then(|| spec(&mut random, place, &give_ups)))
            .collect();
        let spread = random.pick(&[1_000, 100_000, SECOND, 30 * SECOND]);
        let steps = (0..steps)
            .map(|_| (random.time(spread), step(&mut random, &give_ups)))
            .collect();
        Self {
            seed,
            chaos,
            units,
            steps,
            stops_each: random.percent(50),
        }
    }
}

/// The same over all edits, since the judge counts by it.
fn give_up(random: &mut Random) -> Option<(u32, u64)> {
    random
        .percent(50)
        .then(|| (1 + random.below(5) as u32, random.time(60 * SECOND)))
}

fn step(random: &mut Random, give_ups: &[Option<(u32, u64)>]) -> Step {
    let count = give_ups.len();
    match random.below(100) {
        0..75 => {
            let verbs = [
                Verb::Start,
                Verb::Start,
                Verb::Stop,
                Verb::Restart,
                Verb::Reload,
                Verb::Reset,
            ];
            Step::Ask(random.index(count), random.pick(&verbs))
        }
        75..90 => {
            let edits = 1 + random.index(count.min(4));
            let edit = |random: &mut Random| {
                let place = random.index(count);
                (place, (!random.percent(30)).then(|| spec(random, place, give_ups)))
            };
            Step::Edit((0..edits).map(|_| edit(random)).collect())
        }
        90..95 => Step::Sleep(random.time(100 * SECOND)),
        _ => Step::WallJump(random.below(2_000_000) as i64 - 1_000_000),
    }
}

fn spec(random: &mut Random, place: usize, give_ups: &[Option<(u32, u64)>]) -> Spec {
    let count = give_ups.len();
    let links = match count {
        0 | 1 => 0,
        _ => random.index(4),
    };
    let mut link = || {
        let kind = random.pick(&[
            LinkKind::Requires(Need::Ready),
            LinkKind::Requires(Need::Ready),
            LinkKind::Requires(Need::Started),
            LinkKind::Requires(Need::Exited),
            LinkKind::Requires(Need::Succeeded),
            LinkKind::Requires(Need::Healthy),
            LinkKind::Wants,
            LinkKind::WantedBy,
            LinkKind::BindsTo,
            LinkKind::PartOf,
            LinkKind::After,
            LinkKind::Before,
            LinkKind::Conflicts,
            LinkKind::OnFailure,
            LinkKind::OnSuccess,
        ]);
        // Mostly to one before it, so that cycles are there but do not block everything.
        let to = if place == 0 || random.percent(8) {
            random.index(count)
        } else {
            random.index(place)
        };
        (kind, to)
    };
    let links: Vec<_> = (0..links).map(|_| link()).filter(|(_, to)| *to != place).collect();
    let form = match random.below(100) {
        0..12 => Form::Target,
        12..14 => Form::Masked,
        14..15 => Form::Slice,
        _ => Form::Service(service(random, give_ups[place])),
    };
    Spec {
        form,
        links,
        condition: random.percent(5),
        assert: random.percent(4),
    }
}

fn service(random: &mut Random, give_up: Option<(u32, u64)>) -> ServiceSpec {
    let oneshot = random.percent(25);
    let mut some = |chance| if random.percent(chance) { 1 + random.index(2) } else { 0 };
    let commands = [some(20), 1, some(20), some(20), some(20), some(20)];
    let mains = if oneshot { 1 + random.index(3) } else { 1 };
    let limit = |random: &mut Random| (!random.percent(20)).then(|| random.time(30 * SECOND));
    ServiceSpec {
        oneshot,
        remain: random.percent(20),
        commands: [commands[0], mains, commands[2], commands[3], commands[4], commands[5]],
        ignore_failure: random.percent(10),
        reload_signal: random.percent(10),
        kill: match random.below(10) {
            0 | 1 => KillMode::Mixed,
            2 => KillMode::Process,
            3 => KillMode::None,
            _ => KillMode::ControlGroup,
        },
        send_sigkill: !random.percent(5),
        policy: random.pick(&[
            RestartPolicy::No,
            RestartPolicy::OnFailure,
            RestartPolicy::OnFailure,
            RestartPolicy::Always,
            RestartPolicy::OnSuccess,
            RestartPolicy::OnAbnormal,
        ]),
        // With neither a delay nor a budget it would restart for ever, as it was told to.
        delay: random.time(SECOND) - u64::from(give_up.is_some()) + u64::from(give_up.is_none()) * 1_000,
        stable_after: random.time(20 * SECOND),
        give_up,
        timeouts: [
            limit(random),
            limit(random),
            random.percent(10).then(|| random.time(30 * SECOND)),
        ],
        log: random.below(2),
        activation: Box::new(Activation::of(random, oneshot)),
    }
}

impl Spec {
    /// The unit as a file would have made it.
    pub fn unit(&self, place: usize) -> Unit {
        let mut unit = Unit::target(name(place));
        let at = |line: usize| Place {
            file: format!("u{place}.toml").into(),
            line: line as u32 + 1,
        };
        let link = |(line, (kind, to)): (usize, &(LinkKind, usize))| Link {
            to: name(*to),
            kind: *kind,
            place: at(line),
        };
        unit.links = self.links.iter().enumerate().map(link).collect();
        unit.kind = match &self.form {
            Form::Masked => Kind::Masked,
            Form::Target => Kind::Target,
            Form::Slice => Kind::Slice(Box::default()),
            Form::Service(spec) => Kind::Service(Box::new(spec.service())),
        };
        let condition = || Condition {
            negated: false,
            test: ConditionTest::PathExists("/x".into()),
        };
        unit.condition.extend(self.condition.then(condition));
        unit.assert.extend(self.assert.then(condition));
        unit
    }
}

impl ServiceSpec {
    fn service(&self) -> Service {
        let mut service = Service {
            r#type: if self.oneshot {
                ServiceType::Oneshot
            } else {
                ServiceType::Exec
            },
            remain_after_exit: self.remain,
            reload_signal: self.reload_signal.then_some(RELOAD_SIGNAL),
            ..Service::default()
        };
        let lists = [
            &mut service.exec_start_pre,
            &mut service.exec_start,
            &mut service.exec_start_post,
            &mut service.exec_reload,
            &mut service.exec_stop,
            &mut service.exec_stop_post,
        ];
        for (list, count) in lists.into_iter().zip(self.commands) {
            let command = Command {
                ignore_failure: self.ignore_failure,
                ..Command::default()
            };
            *list = vec![command; count];
        }
        [service.timeout_start, service.timeout_stop, service.runtime_max] =
            self.timeouts.map(|limit| limit.map(Duration::from_micros));
        service.kill.mode = self.kill;
        service.kill.send_sigkill = self.send_sigkill;
        service.restart.policy = self.policy;
        service.restart.delay = Duration::from_micros(self.delay);
        service.restart.stable_after = Duration::from_micros(self.stable_after);
        service.restart.give_up = self.give_up.map(|(starts, within)| GiveUp {
            starts,
            within: Duration::from_micros(within),
        });
        service.log.max_size.0 += self.log;
        self.activation.put(&mut service);
        service
    }
}

pub fn name(place: usize) -> UnitName {
    UnitName::new(&format!("u{place}")).unwrap()
}

/// Which unit of the scenario this is.
pub fn place_of(unit: &Rc<Unit>) -> usize {
    unit.name.as_str().trim_start_matches('u').parse().unwrap()
}
