//! svc(1): every verb with its flags, as clap knows them.

use clap::{Arg, Command, CommandFactory};

use svc::cli::arguments::Arguments;
use svc::cli::failure::EXIT_STATUSES;

use super::page::Page;

pub fn page() -> String {
    let mut command = Arguments::command();
    command.build();
    let mut page = Page::new("svc", "1", "start, stop and look at the units of a supervisor");
    page.heading("SYNOPSIS");
    page.paragraph("`svc` [OPTIONS] VERB [UNIT]...");
    page.heading("DESCRIPTION");
    page.paragraph(
        "svc asks the supervisor `svcd`(8) to start, stop and change units, which are files as `svc.unit`(5) describes \
         them, and tells how they are. Verbs that change something wait for the outcome, and print the reason and the \
         last lines of the log where it fails. Output is for people; with `--json` it is one documented form for \
         programs. A pattern, such as 'web@*', names every unit that it matches.",
    );
    page.heading("OPTIONS");
    arguments(&mut page, &command, |_| true);
    page.heading("VERBS");
    for verb in command
        .get_subcommands()
        .filter(|verb| verb.get_name() != "help" && !verb.is_hide_set())
    {
        describe(&mut page, verb);
    }
    page.heading("EXIT STATUS");
    for (status, meaning) in EXIT_STATUSES {
        page.item(&status.to_string(), meaning);
    }
    page.paragraph(
        "`run` and `exec` end as the command does: with its exit status, with 128 and the number of the signal that ended \
         it, or, where it could not be executed, with 127 if it is not there and 126 otherwise.",
    );
    page.heading("WHO ENDED A SERVICE");
    page.paragraph(
        "The result of a service that a signal ended says by whom where svcd knows: somebody's `svc kill`, or svcd itself, \
         at a stop, after a time that was up, or for its watchdog. Where the kernel killed it for memory the result is \
         oom. Of a signal that another process has sent the kernel tells svcd no more than which it was.",
    );
    page.heading("ENVIRONMENT");
    page.item(
        "SVC_SOCKET",
        "The supervisor's socket, where `--socket` does not name one.",
    );
    page.item(
        "SVC_STATE_DIR",
        "Where images are kept, in images below it, where `--state-dir` does not name a place.",
    );
    page.item(
        "REGISTRY_AUTH_FILE",
        "The file of credentials for registries, where it is not one of containers-auth.json(5).",
    );
    page.item(
        "VISUAL, EDITOR",
        "What `svc edit` opens a draft with; the first that is set, or vi(1).",
    );
    page.item("NO_COLOR", "Where it is set, nothing is coloured.");
    page.heading("FILES");
    page.item("/run/svc/control.sock", "Where the machine's own supervisor listens.");
    page.item(
        "/var/lib/svc/images",
        "Where images are: an OCI image layout, and layers as directories.",
    );
    page.heading("EXAMPLES");
    page.example(
        "svc up units/demo          # a supervisor in the foreground, for the units of a directory\n\
         svc status web             # how it is, and why\n\
         svc logs web -f            # what it prints\n\
         svc why web                # who or what brought it there\n\
         svc analyze plot > boot.svg",
    );
    page.see_also(&["svcd(8)", "svc.unit(5)"]);
    page.render()
}

/// A verb, and below it the ways it can be asked in.
fn describe(page: &mut Page, verb: &Command) {
    let usage = verb.clone().render_usage().to_string();
    page.subheading(usage.trim_start_matches("Usage: "));
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    page.paragraph(&format!("{about}."));
    arguments(page, verb, |argument| !argument.is_global_set());
    for way in verb.get_subcommands().filter(|way| way.get_name() != "help") {
        describe(page, way);
    }
}

fn arguments(page: &mut Page, command: &Command, which: impl Fn(&Arg) -> bool) {
    let shown = |argument: &&Arg| argument.get_id() != "help" && which(argument);
    for argument in command.get_arguments().filter(shown) {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        page.item(&term(argument), &sentence(&help));
        let values = argument.get_possible_values();
        if argument.get_action().takes_values() && !values.is_empty() {
            let values: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
            page.further(&format!("One of: {}", values.join(", ")));
        }
        let defaults: Vec<_> = argument
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy())
            .collect();
        if argument.get_action().takes_values() && !defaults.is_empty() {
            page.further(&format!("Default: {}", defaults.join(", ")));
        }
    }
}

/// `-s, --signal SIGNAL`, or the name of what stands without a flag.
fn term(argument: &Arg) -> String {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let flags: Vec<String> = short.into_iter().chain(long).collect();
    let value = match argument.get_value_names() {
        Some(names) if argument.get_action().takes_values() => names.join(" "),
        _ => String::new(),
    };
    let more = if argument.is_positional() && argument.get_num_args().is_some_and(|count| count.max_values() > 1) {
        "..."
    } else {
        ""
    };
    format!("{} {value}{more}", flags.join(", ")).trim().to_owned()
}

/// A line of help as a sentence; a default in brackets stays behind it.
fn sentence(help: &str) -> String {
    match help.split_once(" [") {
        Some((text, default)) => format!("{text}. [{default}"),
        None => format!("{help}."),
    }
}
