//! A command that runs as svcd itself does, beside the service; systemd.service(5), the prefix `+`.

use std::path::PathBuf;

use super::Context;
use super::execution::Execution;
use super::setup::{Setup, Step, environment, process_steps, streams};
use crate::unit::Command;

/// The order of one that runs as svcd itself does: nothing of the isolation is its own, the cgroup and the streams are.
pub(super) fn command<'a>(context: &Context<'a>, command: &Command) -> Setup<'a> {
    let service = context.service;
    let streams = streams(context);
    let terminal = streams.need_terminal().then(|| service.tty_path.clone());
    let mut steps = vec![Step::JoinCgroups(context.join_files.to_vec()), Step::Session];
    steps.extend(terminal.clone().map(|path| Step::Terminal {
        path,
        take: streams.from_terminal,
    }));
    steps.push(Step::Streams(streams));
    process_steps(context, &mut steps);
    // The unit's own is a path in its root.
    let directory = service.working_directory.clone().filter(|_| service.root.is_none());
    steps.push(Step::WorkingDirectory(directory.unwrap_or_else(|| PathBuf::from("/"))));
    steps.push(Step::Environment(environment(context, terminal)));
    steps.push(Step::Exec(Execution {
        descriptors: context.descriptors.clone(),
        command: command.clone(),
        path: service.exec_search_path.clone(),
        ignore_sigpipe: service.ignore_sigpipe,
        filter: None,
    }));
    Setup {
        namespaces: 0,
        into: None,
        steps,
    }
}
