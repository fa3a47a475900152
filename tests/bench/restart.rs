//! C: kill -9 of a service until its successor has executed, with no delay asked for.

use std::time::{Duration, Instant};

use crate::contestants::{ALL, Contestant, Running};
use crate::stage::{Stage, milliseconds};
use crate::table::{Goal, Table};

/// Each service is killed once.
const SERVICES: usize = 50;
/// Of those that wait a second before each restart.
const SERVICES_OF_THE_SLOW: usize = 3;
/// runsv(8) holds back a service that has not been up this long.
const SETTLED: Duration = Duration::from_millis(1200);

pub fn run(stage: &Stage) {
    let count = stage.rounds(SERVICES);
    // All supervisors run at the same time; their services are killed in turn.
    let mut running: Vec<Running> = ALL.iter().map(|who| who.start(stage, count).1).collect();
    std::thread::sleep(SETTLED);
    let mut samples: Vec<Vec<f64>> = ALL.iter().map(|_| Vec::new()).collect();
    for nth in 0..count {
        for ((who, running), samples) in ALL.iter().zip(&mut running).zip(&mut samples) {
            let slow = matches!(who, Contestant::Busybox | Contestant::S6 | Contestant::Supervisord);
            if slow && nth >= SERVICES_OF_THE_SLOW {
                continue;
            }
            let begin = Instant::now();
            running.services[nth].kill();
            let successor = stage.arrival(who.name());
            samples.push(milliseconds(successor.at - begin));
            running.services[nth] = successor;
        }
    }
    for running in running {
        running.stop();
    }
    let mut table = Table::new(
        "C. Restart: kill -9 of a service until its successor has executed, delay 0",
        "ms",
    );
    for (who, samples) in ALL.iter().zip(samples) {
        let limit = usize::from(matches!(who, Contestant::LimitIsolated | Contestant::Standard));
        let line = table.add(who.name(), samples, Some(limit));
        if *who == Contestant::Plain {
            table.goal(line, Goal::Times(1.5));
        } else if *who == Contestant::Standard {
            table.goal(line, Goal::Most(1.0));
        }
    }
    table.print();
}
