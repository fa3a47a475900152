//! G: how fast whole commands answer, with a thousand services; and a thousand clients at once.

use std::time::{Duration, Instant};

use svc::control::Request;
use svc::control::client::Client;
use svc::control::returns::Statuses;

use crate::contestants::{ALL, Contestant, Running};
use crate::stage::{Stage, milliseconds, timed};
use crate::table::{Goal, Table};

const CLIENTS: usize = 1000;
/// Commands in a row, in each round of the throughput.
const STATUSES: usize = 20;
const LISTS: usize = 5;
/// What ours answer with, as JSON: the limit sends as much.
const STATUS_BYTES: usize = 700;
const LIST_BYTES: usize = 200_000;

/// Times of commands, in milliseconds.
#[derive(Default)]
pub struct Answers {
    status: Vec<f64>,
    list: Vec<f64>,
    clients: Vec<f64>,
}

/// Asks a supervisor, and in the same breath the limit.
pub fn ask(stage: &Stage, running: &mut Running, answers: &mut Answers, limit: &mut Answers) {
    let socket = stage.dir.join("limit.sock");
    let _ = std::fs::remove_file(&socket);
    let mut server = stage
        .command(stage.limit())
        .arg("serve")
        .arg(&socket)
        .spawn()
        .expect("start the limit");
    stage.arrival("limit serve");
    let ask_limit = |bytes: usize| {
        let mut command = stage.command(stage.limit());
        command.arg("ask").arg(&socket).arg(bytes.to_string());
        milliseconds(timed(&mut command))
    };
    if let Some(mut command) = running.status(stage) {
        for _ in 0..stage.rounds(STATUSES) {
            answers.status.push(milliseconds(timed(&mut command)));
            limit.status.push(ask_limit(STATUS_BYTES));
        }
    }
    if let Some(mut command) = running.list(stage) {
        for _ in 0..LISTS {
            answers.list.push(milliseconds(timed(&mut command)));
            limit.list.push(ask_limit(LIST_BYTES));
        }
    }
    if let Some(ours) = running.ours() {
        answers.clients.push(milliseconds(all_at_once(&ours.socket())));
    }
    server.kill().expect("end the limit");
    server.wait().expect("wait for the limit");
}

/// Connects all clients, then asks with all, then reads all answers.
fn all_at_once(socket: &std::path::Path) -> Duration {
    let request = Request::Status {
        units: vec!["0007".to_owned()],
    };
    let begin = Instant::now();
    let connect = || Client::connect(socket).expect("connect");
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| connect()).collect();
    for client in &mut clients {
        client.set_patience(Some(Duration::from_secs(30))).expect("SO_RCVTIMEO");
        client.send(&request, false).expect("ask");
    }
    for client in &mut clients {
        let answer = client.receive::<Statuses>().expect("an answer");
        assert_eq!(answer.value.units.len(), 1);
    }
    begin.elapsed()
}

pub fn print(answers: &[&Answers], limit: &Answers) {
    let mut status = Table::new("G. Control, whole command: status of one of 1000", "ms");
    let mut list = Table::new("G. Control, whole command: list of 1000", "ms");
    let mut clients = Table::new(format!("G. {CLIENTS} clients at once, until all are answered"), "ms");
    status.add("limit: ask, answer", limit.status.clone(), None);
    list.add("limit: ask, answer", limit.list.clone(), None);
    for (who, answers) in ALL.iter().zip(answers) {
        if answers.status.is_empty() {
            continue;
        }
        let one = status.add(who.name(), answers.status.clone(), Some(0));
        let all = list.add(who.name(), answers.list.clone(), Some(0));
        if answers.list.is_empty() {
            list.note(all, "has no such command");
        }
        if matches!(who, Contestant::Plain | Contestant::Standard) {
            status.goal(one, Goal::Most(0.5));
            list.goal(all, Goal::Most(1.5));
            clients.add(who.name(), answers.clients.clone(), None);
        }
    }
    status.print();
    list.print();
    clients.print();
}
