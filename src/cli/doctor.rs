//! `doctor`: what this kernel, and our privileges, let svcd enforce, and by which means. Asks no supervisor.

use serde::Serialize;

use super::failure::Failure;
use super::render::{BAD, BOLD, DIM, GOOD, Table, cell, paint};
use super::session::Session;
use crate::cgroup::probe::{self as controllers, Means};
use crate::net::probe as networks;
use crate::sandbox::probe::Kernel;

/// One thing that svcd may or may not have here.
#[derive(Debug, Serialize)]
struct Finding {
    /// `memory`, `net`.
    name: String,
    /// It can be had.
    available: bool,
    /// `v1`, `v2`, `bpf`, `kernel`; none where it cannot be had.
    backend: Option<&'static str>,
    /// The files or the mechanism; where it cannot be had, why.
    enforced_by: Option<String>,
    /// Where.
    at: Option<String>,
    /// Why it cannot be had.
    why: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    controllers: Vec<Finding>,
    namespaces: Vec<Finding>,
    privileges: Vec<Finding>,
    network: Vec<Finding>,
}

/// `svc doctor`.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(session: &mut Session<'_>) -> Result<(), Failure> {
    let kernel = Kernel::probe();
    let of_kernel = |(name, by, why): (&'static str, &'static str, Option<String>)| Finding {
        name: name.to_owned(),
        available: why.is_none(),
        backend: why.is_none().then_some("kernel"),
        enforced_by: why.is_none().then(|| by.to_owned()),
        at: None,
        why,
    };
    let report = Report {
        controllers: controllers::look().into_iter().map(of_controller).collect(),
        namespaces: kernel.namespaces().into_iter().map(of_kernel).collect(),
        privileges: kernel.privileges().into_iter().map(of_kernel).collect(),
        network: networks::look().into_iter().map(of_kernel).collect(),
    };
    if session.json {
        return session.print_json(&report);
    }
    for (nth, (title, findings)) in [
        ("CONTROLLER", &report.controllers),
        ("NAMESPACE", &report.namespaces),
        ("PRIVILEGE", &report.privileges),
        ("NETWORK", &report.network),
    ]
    .into_iter()
    .enumerate()
    {
        if nth > 0 {
            writeln!(session.out)?;
        }
        table(title, findings).print(session.out)?;
    }
    let missing = [
        &report.controllers,
        &report.namespaces,
        &report.privileges,
        &report.network,
    ];
    let missing = missing
        .into_iter()
        .flatten()
        .filter(|finding| !finding.available)
        .count();
    let words = match missing {
        0 => "all of it can be enforced here".to_owned(),
        count => format!(
            "{count} cannot be had here: a unit that asks for one is refused, unless it lists the key in best-effort"
        ),
    };
    writeln!(session.out, "\n{}", paint(DIM, words))?;
    Ok(())
}

fn of_controller(backend: controllers::Backend) -> Finding {
    let (place, why) = match backend.place {
        Ok(place) => (Some(place), None),
        Err(why) => (None, Some(why.into())),
    };
    Finding {
        available: place.is_some(),
        backend: place.as_ref().map(|place| match place.means {
            Means::V1 => "v1",
            Means::V2 => "v2",
            Means::Program => "bpf",
        }),
        enforced_by: place
            .as_ref()
            .map(|place| controllers::enforced_by(&backend.controller, place.means).to_owned()),
        at: place.map(|place| place.home.into()),
        name: backend.controller.into(),
        why,
    }
}

fn table(title: &str, findings: &[Finding]) -> Table {
    let mut table = Table::new(&[title, "AVAILABLE", "BACKEND", "ENFORCED BY"]);
    for finding in findings {
        let available = if finding.available {
            cell("yes").style(GOOD)
        } else {
            cell("no").style(BAD)
        };
        let by = match (&finding.enforced_by, &finding.at, &finding.why) {
            (Some(by), Some(at), _) => cell(format!("{by}, at {at}")),
            (Some(by), None, _) => cell(by),
            (None, _, why) => cell(why.as_deref().unwrap_or("-")).style(DIM),
        };
        table.row(vec![
            cell(&finding.name).style(BOLD),
            available,
            cell(finding.backend.unwrap_or("-")),
            by,
        ]);
    }
    table
}
