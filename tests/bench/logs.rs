//! F: lines of a hundred bytes from a service's standard output to files that are rotated.

use std::fs;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::ours::Ours;
use crate::processes;
use crate::stage::Stage;
use crate::table::{Goal, Table, figure, median};

const LINES: usize = 2_000_000;
const ROUNDS: usize = 5;
/// Each keeps files of this size, and four of them.
const FILE_BYTES: usize = 16 << 20;

/// Millions of lines a second, and of a second of the log process's processor time.
#[derive(Clone, Copy)]
struct Rate {
    of_time: f64,
    of_cpu: f64,
    /// What svcd itself used of the time, in percent.
    svcd: Option<f64>,
}

type Contestant = (&'static str, fn(&Stage) -> Rate);

const CONTESTANTS: [Contestant; 7] = [
    ("limit: read, write", limit),
    ("svcd, time-stamped", ours),
    ("s6-log", |stage| s6_log(stage, &[])),
    ("s6-log, time-stamped", |stage| s6_log(stage, &["T"])),
    ("svlogd", |stage| svlogd(stage, &[])),
    ("svlogd, time-stamped", |stage| svlogd(stage, &["-tt"])),
    ("supervisord (cuts lines)", supervisord),
];
const OURS: usize = 1;

pub fn run(stage: &Stage) {
    let mut rates: Vec<Vec<Rate>> = CONTESTANTS.iter().map(|_| Vec::new()).collect();
    for _ in 0..stage.rounds(ROUNDS) {
        for ((_, measure), rates) in CONTESTANTS.iter().zip(&mut rates) {
            rates.push(measure(stage));
        }
    }
    let mut table = Table::new("F. Logs: lines of 100 bytes from a pipe to rotated files", "M/s").more_is_better();
    for ((name, _), rates) in CONTESTANTS.iter().zip(&rates) {
        let line = table.add(*name, rates.iter().map(|rate| rate.of_time).collect(), Some(0));
        let of_cpu: Vec<f64> = rates.iter().map(|rate| rate.of_cpu).collect();
        table.note(line, format!("{} M a second of its CPU", figure(median(&of_cpu))));
    }
    table.goal(OURS, Goal::Least(6.0));
    table.print();
    let mut table = Table::new(
        "F. Logs: processor time of svcd itself meanwhile, of the whole time",
        "%",
    );
    let line = table.add("svcd", rates[OURS].iter().filter_map(|rate| rate.svcd).collect(), None);
    table.goal(line, Goal::Most(1.0));
    table.print();
}

fn rate(took: Duration, cpu: Duration) -> Rate {
    let millions = LINES as f64 / 1e6;
    Rate {
        of_time: millions / took.as_secs_f64(),
        of_cpu: millions / cpu.as_secs_f64(),
        svcd: None,
    }
}

/// A logger that reads its standard input, and the writer at the other end.
fn through(stage: &Stage, mut logger: Command) -> Rate {
    let (read, write) = std::io::pipe().expect("pipe");
    let mut logger = logger
        .stdin(Stdio::from(OwnedFd::from(read)))
        .spawn()
        .expect("start a logger");
    let mut writer = stage.command(stage.limit());
    writer
        .arg("lines")
        .arg(LINES.to_string())
        .stdout(Stdio::from(OwnedFd::from(write)));
    let mut writing = writer.spawn().expect("start the writer");
    // Its copy of the pipe would keep the logger from ending.
    drop(writer);
    let took = stage.arrival(&format!("{logger:?}")).told();
    let cpu = processes::cpu(logger.id());
    writing.wait().expect("wait for the writer");
    logger.wait().expect("wait for a logger");
    rate(took, cpu)
}

fn limit(stage: &Stage) -> Rate {
    let mut command = stage.command(stage.limit());
    command.arg("collect").arg(stage.fresh("logs"));
    through(stage, command)
}

fn s6_log(stage: &Stage, stamp: &[&str]) -> Rate {
    let mut command = stage.command("/usr/bin/s6-log");
    command
        .args(stamp)
        .args([format!("s{}", FILE_BYTES - 1), "n4".to_owned()])
        .arg(stage.fresh("logs"));
    through(stage, command)
}

fn svlogd(stage: &Stage, stamp: &[&str]) -> Rate {
    let dir = stage.fresh("logs");
    fs::write(dir.join("config"), format!("s{FILE_BYTES}\nn4\n")).expect("write a file");
    let mut command = stage.command("/usr/bin/svlogd");
    // A buffer for lines of up to a kilobyte is its default; reads of 64 KiB help it.
    command.args(stamp).args(["-b", "65536"]).arg(dir);
    through(stage, command)
}

fn supervisord(stage: &Stage) -> Rate {
    let dir = stage.fresh("logs");
    let (shown, limit) = (dir.display(), stage.limit());
    let conf = format!(
        "[supervisord]\nlogfile={shown}/log\nloglevel=error\npidfile={shown}/pid\n\
         [program:talk]\ncommand={} lines {LINES}\nautorestart=false\nstartsecs=0\nredirect_stderr=true\n\
         stdout_logfile={shown}/out\nstdout_logfile_maxbytes={FILE_BYTES}\nstdout_logfile_backups=3\n",
        limit.display()
    );
    fs::write(dir.join("conf"), conf).expect("write a file");
    let mut command = stage.command("/usr/bin/supervisord");
    let mut child = command
        .arg("--nodaemon")
        .arg("--configuration")
        .arg(dir.join("conf"))
        .spawn()
        .expect("start supervisord");
    let took = stage.arrival("supervisord").told();
    let cpu = processes::cpu(child.id());
    crate::stage::terminate(&child, nix::sys::signal::Signal::SIGTERM);
    child.wait().expect("wait for supervisord");
    rate(took, cpu)
}

fn ours(stage: &Stage) -> Rate {
    let text = format!(
        "[service]\nexec-start = [\"{}\", \"lines\", \"{LINES}\"]\n{}\n\
         [log]\nmax-size = \"{}\"\n[isolation]\nprofile = \"none\"\n",
        stage.limit().display(),
        stage.environment(),
        4 * FILE_BYTES
    );
    let mut ours = Ours::start(stage, "talk", &[("talk".to_owned(), text)]);
    let svcd = ours.child.id();
    let logger = processes::child_named(svcd, "svc-log");
    let before = (processes::cpu(svcd), processes::cpu(logger));
    ours.start_unit("talk", false);
    let took = stage.arrival("svcd").told();
    let of_svcd = processes::cpu(svcd) - before.0;
    let mut rate = rate(took, processes::cpu(logger) - before.1);
    rate.svcd = Some(of_svcd.as_secs_f64() / took.as_secs_f64() * 100.0);
    ours.stop();
    rate
}
