//! What is typed most is understood sooner: to put fifty verbs together was a quarter of the time until svc had asked.

use std::ffi::OsString;

use clap::{Args, Command, FromArgMatches, Parser};

use super::{Arguments, Exec, Job, List, OfAll, Run, Units};

impl Arguments {
    /// What was typed, program name first.
    ///
    /// # Errors
    /// As [`Parser::try_parse_from`]: what is wrong with it, or the help that was asked for.
    pub fn of(typed: Vec<OsString>) -> Result<Self, clap::Error> {
        Self::quickly(&typed).map_or_else(|| Self::try_parse_from(typed), Ok)
    }

    /// None: another verb, or a mistake, which is told by whoever knows all of them.
    pub(super) fn quickly(typed: &[OsString]) -> Option<Self> {
        // Where this is no verb, such as the value of a flag before one, it is not understood as one.
        let (verb, flags) = typed.iter().find_map(|word| flags_of(word.to_str()?))?;
        let command = OfAll::augment_args(Command::new("svc"));
        let command = command.subcommand(flags(Command::new(verb)));
        Self::from_arg_matches(&command.try_get_matches_from(typed).ok()?).ok()
    }
}

type Flags = fn(Command) -> Command;

fn flags_of(verb: &str) -> Option<(&'static str, Flags)> {
    const MOST: [(&str, Flags); 8] = [
        ("start", Job::augment_args),
        ("stop", Job::augment_args),
        ("restart", Job::augment_args),
        ("reload", Job::augment_args),
        ("status", Units::augment_args),
        ("list", List::augment_args),
        ("run", Run::augment_args),
        ("exec", Exec::augment_args),
    ];
    MOST.into_iter().find(|(its, _)| *its == verb)
}
