//! The benchmark: svc beside the peers that Debian packages, and beside the limit, a C program ([limit.c]) that does the
//! same work with nothing around it. Ratios are what counts: in each round of a row every contestant has its turn, so
//! that whatever else the machine does falls on all of them, and medians are compared.
//!
//! `tests/bench/run` installs the peers, builds, and starts this as PID 1 of a pid namespace, which takes every process
//! along at its end. [`stage`] is what all rows stand on, [`contestants`] who is started and stopped how, [`table`] what
//! is printed; the rest is a file for each row of the goals.
//!
//! [limit.c]: ../limit.c
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark starts programs, reads clocks and waits"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a panic here ends the benchmark, which says why"
)]

mod boot;
mod contestants;
mod control;
mod engine;
mod images;
mod logs;
mod network;
mod ours;
mod processes;
mod reaping;
mod restart;
mod stage;
mod start;
mod steps;
mod table;
mod throughput;
#[allow(dead_code, reason = "the tests of booting use the rest")]
#[path = "../boot/tree.rs"]
mod tree;

use stage::Stage;

/// As in what ships: the engine's row would measure another allocator's work.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: svc::sys::allocator::Allocator = svc::sys::allocator::Allocator::empty();

/// A row by its name, and what measures and prints it.
type Row = (&'static str, fn(&Stage));

const ROWS: [Row; 10] = [
    ("start", start::run),
    ("steps", steps::run),
    ("throughput", throughput::run),
    ("network", network::run),
    ("restart", restart::run),
    ("orphans", reaping::run),
    ("boot", boot::run),
    ("logs", logs::run),
    ("images", images::run),
    ("engine", engine::run),
];

const HELP: &str = "usage: tests/bench/run [--quick] [--idle SECONDS] [ROW…]
rows: start steps throughput network restart orphans boot logs images engine (all)
--quick: a fifth of the rounds; --idle: how long wake-ups are counted (5)";

fn main() {
    let mut stage = Stage::new();
    let mut rows = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => stage.quick = true,
            "--idle" => match arguments.next().and_then(|seconds| seconds.parse().ok()) {
                Some(seconds) => stage.idle_seconds = seconds,
                None => usage(),
            },
            row if ROWS.iter().any(|(name, _)| *name == row) => rows.push(argument),
            _ => usage(),
        }
    }
    for (name, run) in ROWS {
        if rows.is_empty() || rows.iter().any(|row| row == name) {
            run(&stage);
        }
    }
}

fn usage() -> ! {
    eprintln!("{HELP}");
    std::process::exit(64)
}
