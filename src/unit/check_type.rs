//! Rules across the keys that say when a service is ready, and whether it is well.

use super::decode::{Input, Issue, at_of};
use super::node::At;
use super::report::Severity;
use super::*;

pub(super) fn check(input: &Input<'_>, service: &Service, issues: &mut Vec<Issue>) {
    let at = |table, key| at_of(input.tree, table, key);
    let mut error = |at: Option<At>, message: &str| {
        issues.push(Issue {
            severity: Severity::Error,
            at,
            message: message.into(),
            hint: None,
        })
    };
    if service.r#type.says_ready() && service.notify_access == NotifyAccess::None {
        error(
            at("service", "notify-access"),
            "a service that says when it is ready has to be heard: `notify-access` is not \"none\"",
        );
    }
    if service.pid_file.is_some() && service.r#type != ServiceType::Forking {
        error(at("service", "pid-file"), "`pid-file` is for `type = \"forking\"`");
    }
    if service.r#type == ServiceType::NotifyReload && !service.exec_reload.is_empty() {
        error(
            at("service", "exec-reload"),
            "`notify-reload` is reloaded by `reload-signal`",
        );
    }
    let health = &service.health;
    let table = input.tree.get("health").map(|(at, _)| at.clone());
    match health.ways() {
        0 if table.is_some() => error(table, "`[health]` needs one of `exec`, `http` and `tcp`"),
        0 | 1 => {}
        _ => error(table, "`[health]` has one command in `exec`, or `http`, or `tcp`"),
    }
    if health.http.is_some() && health.target().is_none_or(|target| target.http.is_none()) {
        error(
            at("health", "http"),
            "expected `http://`, an address in numbers or localhost, a port where it is not 80, and a path",
        );
    }
    if health.tcp.is_some() && health.target().is_none() {
        error(
            at("health", "tcp"),
            "expected ADDRESS:PORT with an address in numbers, or localhost",
        );
    }
    if health.is_set() && (health.interval.is_zero() || health.timeout.is_zero()) {
        error(
            at("health", "interval").or_else(|| at("health", "timeout")),
            "a probe takes time: more than 0s",
        );
    }
}
