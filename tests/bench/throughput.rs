//! B: a thousand services. Until all are up, what the supervisor then needs, what it does while nothing happens, how fast
//! it answers, and until all are gone.

use std::time::Duration;

use crate::contestants::{ALL, Contestant, Running};
use crate::control::{self, Answers};
use crate::ours::Ours;
use crate::processes;
use crate::stage::{Stage, milliseconds};
use crate::table::{Goal, Table, median};

const SERVICES: usize = 1000;
const ROUNDS: usize = 5;
const KIB: f64 = 1024.0;
/// Ours: so many times the limit until all are up, and so many KiB more for each service.
const GOALS: [(Contestant, f64, f64); 2] = [(Contestant::Plain, 1.5, 2.5), (Contestant::Standard, 1.3, 12.0)];

/// What was measured of one contestant, over all rounds.
#[derive(Default)]
struct Samples {
    up: Vec<f64>,
    down: Vec<f64>,
    memory: Vec<f64>,
    wake_ups: Vec<f64>,
    answers: Answers,
}

pub fn run(stage: &Stage) {
    let mut samples: Vec<Samples> = ALL.iter().map(|_| Samples::default()).collect();
    let mut limit = Answers::default();
    for round in 0..stage.rounds(ROUNDS) {
        for (who, samples) in ALL.iter().zip(&mut samples) {
            let (took, mut running) = who.start(stage, SERVICES);
            samples.up.push(milliseconds(took));
            let supervisor = processes::tree(running.pid(), &running.service_pids());
            samples.memory.push(processes::pss(&supervisor) as f64 / KIB);
            if round == 0 && !matches!(who, Contestant::Limit | Contestant::LimitIsolated) {
                samples.wake_ups.push(wake_ups(stage, &running));
            }
            control::ask(stage, &mut running, &mut samples.answers, &mut limit);
            samples.down.push(milliseconds(running.stop()));
        }
    }
    print(stage, &samples);
    control::print(&samples.iter().map(|s| &s.answers).collect::<Vec<_>>(), &limit);
}

fn wake_ups(stage: &Stage, running: &Running) -> f64 {
    // What the start has left over to do is done by then.
    std::thread::sleep(Duration::from_secs(2));
    let supervisor = processes::tree(running.pid(), &running.service_pids());
    let before = processes::wake_ups(&supervisor);
    std::thread::sleep(Duration::from_secs(stage.idle_seconds));
    (processes::wake_ups(&supervisor) - before) as f64
}

/// Memory of svcd with no services, KiB.
fn base_memory(stage: &Stage) -> f64 {
    let ours = Ours::start(stage, "empty", &[]);
    let base = processes::pss(&processes::tree(ours.child.id(), &[])) as f64 / KIB;
    ours.stop();
    base
}

fn print(stage: &Stage, samples: &[Samples]) {
    let base = base_memory(stage);
    let title = |what: &str| format!("{what} {SERVICES} services");
    let mut up = Table::new(title("B. Throughput: supervisor start until it has up"), "ms");
    let mut down = Table::new(
        title("B. Stop: the last gone (svcd: and its cgroups, and itself) of"),
        "ms",
    );
    let mut memory = Table::new(title("B. Memory: PSS of supervisor and helpers with"), "KiB");
    let mut idle = Table::new(title(&format!("Idle: wake-ups in {} s with", stage.idle_seconds)), "");
    for (who, samples) in ALL.iter().zip(samples) {
        let limit = usize::from(matches!(who, Contestant::LimitIsolated | Contestant::Standard));
        let up_line = up.add(who.name(), samples.up.clone(), Some(limit));
        let down_line = down.add(who.name(), samples.down.clone(), Some(limit));
        let memory_line = memory.add(who.name(), samples.memory.clone(), None);
        let idle_line = idle.add(who.name(), samples.wake_ups.clone(), None);
        let Some((_, times, kib)) = GOALS.iter().find(|(whose, ..)| whose == who) else {
            continue;
        };
        up.goal(up_line, Goal::Times(*times));
        down.goal(down_line, Goal::Times(2.0));
        memory.goal(memory_line, Goal::Most(base + kib * SERVICES as f64));
        let more = (median(&samples.memory) - base) / SERVICES as f64;
        memory.note(memory_line, format!("{more:.2} KiB for each"));
        idle.goal(idle_line, Goal::Most(0.0));
    }
    let line = memory.add("svcd without services", vec![base], None);
    memory.goal(line, Goal::Most(1500.0));
    for table in [up, down, memory, idle] {
        table.print();
    }
}
