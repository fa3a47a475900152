//! The engine alone, in a world that does at once all that is asked of it; unit files, read; and what ships, by size.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use svc::engine::changes::Images;
use svc::engine::event::{Cause, End, ExitStatus, Mono, Role, Verb, Wall};
use svc::engine::{Action, Engine, Event, Now, RunId};
use svc::unit::load::{self, SearchPath};
use svc::unit::{Link, LinkKind, Need, Place, Signal, Unit, UnitName};

use crate::ours::program;
use crate::stage::{Stage, milliseconds};
use crate::table::{Goal, Table};

const UNITS: usize = 100_000;
const CHAIN: usize = 10_000;
const FILES: usize = 10_000;
const ROUNDS: usize = 5;
const TEXT: &str = "[unit]\nwanted-by = [\"default\"]\n[service]\nexec-start = \"/bin/sleep 1000000\"\n";
const NOW: Now = Now {
    mono: Mono(Duration::ZERO),
    wall: Wall(0),
};

pub fn run(stage: &Stage) {
    let pattern = read(&files(stage, "pattern", 1)).remove(0);
    let files = files(stage, "files", FILES);
    let [mut load, mut plan, mut start, mut whole] = [const { Vec::new() }; 4];
    let [mut up, mut down, mut reading] = [const { Vec::new() }; 3];
    for _ in 0..stage.rounds(ROUNDS) {
        let parts = many(&pattern);
        whole.push(parts.iter().sum());
        for (samples, part) in [&mut load, &mut plan, &mut start].into_iter().zip(parts) {
            samples.push(part);
        }
        let parts = chain(&pattern);
        up.push(parts[0]);
        down.push(parts[1]);
        reading.push(clocked(|| assert_eq!(read(&files).len(), FILES)));
    }
    let mut table = Table::new(
        format!("Engine alone: {UNITS} units, in a world that answers at once"),
        "ms",
    );
    let line = table.add("load, plan and start", whole, None);
    table.goal(line, Goal::Most(1000.0));
    for (name, samples) in [("  load", load), ("  plan with one changed", plan), ("  start", start)] {
        table.add(name, samples, None);
    }
    table.print();
    let mut table = Table::new(
        format!("Engine alone: a chain of {CHAIN}, each requires the one before"),
        "ms",
    );
    for (name, samples) in [("start of the last", up), ("stop of the first", down)] {
        let line = table.add(name, samples, None);
        table.goal(line, Goal::Most(50.0));
    }
    table.print();
    let mut table = Table::new(format!("Unit files: {FILES} read and checked"), "ms");
    table.add("load", reading, None);
    table.print();
    sizes();
}

fn files(stage: &Stage, name: &str, count: usize) -> std::path::PathBuf {
    let dir = stage.fresh(name);
    for nth in 0..count {
        fs::write(dir.join(format!("u{nth}.toml")), TEXT).expect("write a unit");
    }
    dir
}

/// The services of a directory.
fn read(dir: &Path) -> Vec<Rc<Unit>> {
    let set = load::load(&SearchPath::new(vec![dir.to_owned()]));
    assert!(set.findings.is_empty(), "{:?}", set.findings.first());
    set.units
        .into_values()
        .filter(|unit| unit.name.as_str() != "default")
        .collect()
}

fn clocked(deed: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    deed();
    milliseconds(begin.elapsed())
}

fn name(nth: usize) -> UnitName {
    UnitName::new(&format!("u{nth:06}")).expect("a name")
}

fn set_of(count: usize, pattern: &Unit, links: impl Fn(usize) -> Vec<Link>) -> Vec<Rc<Unit>> {
    let service = |nth| {
        Rc::new(Unit {
            name: name(nth),
            links: links(nth),
            ..pattern.clone()
        })
    };
    let target = Rc::new(Unit::target(UnitName::new("default").expect("a name")));
    (0..count).map(service).chain([target]).collect()
}

/// Milliseconds of load, of plan, of start.
fn many(pattern: &Unit) -> [f64; 3] {
    let units = set_of(UNITS, pattern, |_| pattern.links.clone());
    let mut changed = units.clone();
    let mut other = (*units[0]).clone();
    other.description = "changed".into();
    changed[0] = Rc::new(other);
    let mut world = World::default();
    let load = clocked(|| world.load(units));
    let plan = clocked(|| assert_eq!(black_box(world.engine.changes(&changed, &Images::default())).len(), 1));
    let start = clocked(|| world.ask("default", Verb::Start));
    assert_eq!(world.running.len(), UNITS);
    [load, plan, start]
}

/// Milliseconds until all of a chain are up, and until all are down.
fn chain(pattern: &Unit) -> [f64; 2] {
    let before = |nth: usize| Link {
        to: name(nth - 1),
        kind: LinkKind::Requires(Need::Ready),
        place: Place::default(),
    };
    let units = set_of(
        CHAIN,
        pattern,
        |nth| if nth == 0 { Vec::new() } else { vec![before(nth)] },
    );
    let mut world = World::default();
    world.load(units);
    let up = clocked(|| world.ask(name(CHAIN - 1).as_str(), Verb::Start));
    assert_eq!(world.running.len(), CHAIN);
    let down = clocked(|| world.ask(name(0).as_str(), Verb::Stop));
    assert!(world.running.is_empty());
    [up, down]
}

/// An engine, and processes that start and end as they are told.
struct World {
    engine: Engine,
    queue: VecDeque<Event>,
    running: BTreeMap<RunId, Role>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            engine: Engine::new(1),
            queue: VecDeque::new(),
            running: BTreeMap::new(),
        }
    }
}

impl World {
    fn load(&mut self, units: Vec<Rc<Unit>>) {
        self.play(Event::Units {
            units,
            images: Images::default(),
            by: Cause::Boot,
            job: None,
        });
    }

    fn ask(&mut self, unit: &str, verb: Verb) {
        let unit = self.engine.find(unit).expect("a unit");
        self.play(Event::Ask {
            job: None,
            unit,
            verb,
            by: Cause::Boot,
        });
    }

    fn play(&mut self, event: Event) {
        self.queue.push_back(event);
        while let Some(event) = self.queue.pop_front() {
            for action in self.engine.handle(NOW, event) {
                self.carry_out(action);
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::CheckConditions { run } => self.queue.push_back(Event::Conditions { run, unmet: None }),
            Action::Spawn { run, role } => {
                self.running.insert(run, role);
                self.queue.push_back(Event::Spawned { run, role });
            }
            Action::Kill { run, signal, .. } => self.end(run, signal),
            Action::AwaitEmpty { run } => self.queue.push_back(Event::Emptied { run }),
            Action::Release { run, .. } => self.queue.push_back(Event::Released { run }),
            Action::FindMain { .. }
            | Action::Reboot { .. }
            | Action::Update { .. }
            | Action::Arm { .. }
            | Action::Disarm { .. }
            | Action::Watch { .. }
            | Action::Answer { .. }
            | Action::Report { .. }
            | Action::AllStopped => {}
        }
    }

    fn end(&mut self, run: RunId, signal: Signal) {
        if let Some(role) = self.running.remove(&run) {
            let status = ExitStatus {
                end: End::Signal(signal),
                oom: None,
                core: false,
            };
            self.queue.push_back(Event::Exited { run, role, status });
        }
    }
}

fn sizes() {
    let mut table = Table::new(
        "Binary: what is installed (of peers their programs alone, without their libraries)",
        "KB",
    );
    let line = table.add("svcd, static, stripped", vec![kilobytes(&program("svcd"))], None);
    table.goal(line, Goal::Most(1500.0));
    for program in [
        "/usr/bin/crun",
        "/usr/sbin/runc",
        "/bin/busybox",
        "/usr/bin/s6-svscan",
        "/usr/bin/runsvdir",
    ] {
        table.add(program, vec![kilobytes(Path::new(program))], None);
    }
    table.print();
}

fn kilobytes(program: &Path) -> f64 {
    fs::metadata(program).expect("look at a program").len() as f64 / 1e3
}
