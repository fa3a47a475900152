//! What can go wrong for a verb, what people are told, and the exit status: the one place that decides it.

use std::fmt;
use std::io::{self, Write};

use crate::control;
use crate::control::client;

/// A verb that has not done what was asked.
#[derive(Debug)]
pub struct Failure {
    /// Decides the exit status.
    pub kind: Kind,
    /// What to say; none: all has been said already.
    pub message: Option<Message>,
}

/// `svc: WHAT: WHY`, and `hint: HINT`.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// `start web`.
    pub what: String,
    /// `requires db, which is masked`; without a full stop, the value last.
    pub why: String,
    /// What may help.
    pub hint: Option<String>,
}

/// The kinds of failure that scripts tell apart (INTERFACE section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was tried and failed.
    Failed,
    /// The command line is wrong.
    Usage,
    /// `plan` has found something to do.
    Differs,
    /// `status` of a unit that is not running.
    NotRunning,
    /// No unit has this name.
    NoSuchUnit,
    /// No supervisor answers.
    NoSupervisor,
    /// The caller may not do this.
    NotPermitted,
    /// A unit is not valid, or cannot be enforced here.
    Invalid,
    /// Nobody reads what we print any more.
    BrokenPipe,
    /// `run` or `exec`, whose command has ended with this.
    Command(u8),
}

/// Every exit status of `svc` and what it means (INTERFACE section 3).
pub static EXIT_STATUSES: [(u8, &str); 8] = [
    (0, "done"),
    (1, "failed"),
    (2, "wrong usage; something to do (plan)"),
    (3, "not running (status)"),
    (4, "no such unit"),
    (5, "no supervisor answers"),
    (6, "not permitted"),
    (78, "not valid, or not enforceable here"),
];

/// The same in a sentence, for `--help`.
pub fn exit_statuses() -> String {
    let each = EXIT_STATUSES.map(|(status, meaning)| format!("{status} {meaning}"));
    format!("Exit status: {}.", each.join(", "))
}

impl Kind {
    /// The exit status.
    pub fn status(self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Failed => 1,
            Self::Usage | Self::Differs => 2,
            Self::NotRunning => 3,
            Self::NoSuchUnit => 4,
            Self::NoSupervisor => 5,
            Self::NotPermitted => 6,
            Self::Invalid => 78,
            Self::Command(status) => status,
        }
    }
}

impl Failure {
    /// A failure of this kind, in words.
    pub fn new(kind: Kind, what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self {
            kind,
            message: Some(Message {
                what: what.into(),
                why: why.to_string(),
                hint: None,
            }),
        }
    }

    /// With advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(message) = &mut self.message {
            message.hint = Some(hint.into());
        }
        self
    }

    /// A failure about which all has been said.
    pub fn told(kind: Kind) -> Self {
        Self { kind, message: None }
    }

    /// A call that was not answered: `what` is the caller's word for it, `start web`.
    pub fn of_call(what: impl Into<String>, error: client::Error) -> Self {
        let what = what.into();
        match error {
            client::Error::NoSupervisor(socket, cause) => {
                Self::new(Kind::NoSupervisor, what, format_args!("no supervisor answers at {}: {}", socket.display(), reason(&cause)))
                    .hint("start one with `svcd`, or `svc up DIR` for the units of a directory; --socket or SVC_SOCKET names another")
            }
            client::Error::Forbidden(socket) => {
                Self::new(Kind::NotPermitted, what, format_args!("{} is for root and the group svc", socket.display()))
            }
            client::Error::Refused(failure) => Self::of_refusal(what, failure),
            other @ (client::Error::TimedOut
            | client::Error::HungUp
            | client::Error::Garbled(_)
            | client::Error::Io(_)) => Self::new(Kind::Failed, what, other),
        }
    }

    fn of_refusal(what: String, failure: control::Failure) -> Self {
        let with = |kind, told: control::reply::Told| Self {
            kind,
            message: Some(Message {
                what: told.what,
                why: told.why,
                hint: told.hint,
            }),
        };
        match failure {
            control::Failure::NoSuchUnit { unit, hint } => Self {
                kind: Kind::NoSuchUnit,
                message: Some(Message {
                    what,
                    why: format!("no such unit: {unit}"),
                    hint: hint.or_else(|| Some("`svc list --all` shows every unit".to_owned())),
                }),
            },
            control::Failure::Refused(told) | control::Failure::Unenforceable(told) => with(Kind::Invalid, told),
            control::Failure::Failed(told) => with(Kind::Failed, told),
            control::Failure::PermissionDenied { what: asked, why } => Self::new(Kind::NotPermitted, asked, why),
            control::Failure::InvalidParameter(name) => Self::new(
                Kind::Usage,
                what,
                format_args!("the supervisor does not take this for `{name}`"),
            ),
            control::Failure::InterfaceNotFound(name)
            | control::Failure::MethodNotFound(name)
            | control::Failure::MethodNotImplemented(name) => {
                Self::new(Kind::Failed, what, format_args!("the supervisor does not know {name}"))
                    .hint("`svc version` shows the versions of both")
            }
            control::Failure::ExpectedMore => Self::new(Kind::Failed, what, "the supervisor answers with a stream"),
            control::Failure::Other(name) => Self::new(Kind::Failed, what, name),
        }
    }

    /// Says it on `to`, standard error. That it cannot be said is no matter: there is nobody to tell.
    pub fn tell(&self, to: &mut dyn Write) {
        if let Some(message) = &self.message {
            let _ = write!(to, "{message}");
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "svc: {}: {}", self.what, self.why)?;
        match &self.hint {
            Some(hint) => writeln!(f, "hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// What a verb prints could not be written.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() == io::ErrorKind::BrokenPipe {
            true => Self::told(Kind::BrokenPipe),
            false => Self::new(Kind::Failed, "output", reason(&error)),
        }
    }
}

/// An error of the system in words, without the number that std adds.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::reply::Told;

    #[test]
    fn each_kind_has_the_status_of_the_contract() {
        for (kind, status) in [
            (Kind::BrokenPipe, 0),
            (Kind::Failed, 1),
            (Kind::Usage, 2),
            (Kind::NotRunning, 3),
            (Kind::NoSuchUnit, 4),
            (Kind::NoSupervisor, 5),
            (Kind::NotPermitted, 6),
            (Kind::Invalid, 78),
        ] {
            assert_eq!(kind.status(), status, "{kind:?}");
            assert!(EXIT_STATUSES.iter().any(|(listed, _)| *listed == status), "{status}");
        }
    }

    #[test]
    fn each_answer_has_its_status_and_words() {
        let told = || Told {
            what: "start web".into(),
            why: "requires db, which is masked".into(),
            hint: None,
        };
        let absent = || io::Error::from_raw_os_error(libc::ENOENT);
        for (error, status, text) in [
            (
                client::Error::NoSupervisor("/run/svc/control.sock".into(), absent()),
                5,
                "svc: start web: no supervisor answers at /run/svc/control.sock: No such file or directory\n\
                 hint: start one with `svcd`, or `svc up DIR` for the units of a directory; --socket or SVC_SOCKET names another\n",
            ),
            (
                client::Error::Forbidden("/run/svc/control.sock".into()),
                6,
                "svc: start web: /run/svc/control.sock is for root and the group svc\n",
            ),
            (
                client::Error::Refused(control::Failure::NoSuchUnit {
                    unit: "wbe".into(),
                    hint: Some("did you mean `web`?".into()),
                }),
                4,
                "svc: start web: no such unit: wbe\nhint: did you mean `web`?\n",
            ),
            (
                client::Error::Refused(control::Failure::Refused(told())),
                78,
                "svc: start web: requires db, which is masked\n",
            ),
            (
                client::Error::Refused(control::Failure::Unenforceable(told())),
                78,
                "svc: start web: requires db, which is masked\n",
            ),
            (
                client::Error::Refused(control::Failure::Failed(told())),
                1,
                "svc: start web: requires db, which is masked\n",
            ),
            (
                client::Error::Refused(control::Failure::PermissionDenied {
                    what: "start web".into(),
                    why: "only root may".into(),
                }),
                6,
                "svc: start web: only root may\n",
            ),
            (client::Error::HungUp, 1, "svc: start web: the supervisor hung up\n"),
            (
                client::Error::TimedOut,
                1,
                "svc: start web: the supervisor did not answer in time\n",
            ),
        ] {
            let failure = Failure::of_call("start web", error);
            let mut said = Vec::new();
            failure.tell(&mut said);
            assert_eq!(
                (failure.kind.status(), String::from_utf8(said).unwrap().as_str()),
                (status, text)
            );
        }
    }

    #[test]
    fn a_broken_pipe_ends_quietly() {
        let failure = Failure::from(io::Error::from_raw_os_error(libc::EPIPE));
        assert_eq!((failure.kind, failure.message), (Kind::BrokenPipe, None));
        let failure = Failure::from(io::Error::from_raw_os_error(libc::ENOSPC));
        assert_eq!(
            failure.message.unwrap().to_string(),
            "svc: output: No space left on device\n"
        );
    }
}
