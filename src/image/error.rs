//! What went wrong with an image: the thing, and why.

use std::fmt;
use std::io;
use std::path::Path;

/// What callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No image has this name.
    NoSuchImage,
    /// What was read is not what it says it is, or is more than is taken.
    Refused,
    /// The system, or a peer, did not do what it was asked.
    Failed,
}

/// A failure that names the thing and its cause: `blob sha256:…: is 12 bytes long, not 13`.
#[derive(Debug)]
pub struct Error {
    /// Decides what a caller does about it.
    pub kind: Kind,
    /// The image, blob, file or step.
    pub what: String,
    /// The cause, without a full stop.
    pub why: String,
}

/// What the functions of this room give.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What was read is refused.
    pub fn refused(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::new(Kind::Refused, what, why)
    }

    /// A step did not work.
    pub fn failed(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::new(Kind::Failed, what, why)
    }

    /// No image has this name.
    pub fn no_such_image(name: impl fmt::Display) -> Self {
        Self::new(Kind::NoSuchImage, name, "no such image")
    }

    /// With the words of an error of the system, for a file.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = path.display().to_string();
        move |error| Self::failed(what, words(&error))
    }

    /// The same, for anything that has a name.
    pub fn of(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_string();
        // A reader of ours refuses by these kinds.
        let refusals = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
        move |error| match refusals.contains(&error.kind()) {
            true => Self::refused(what, words(&error)),
            false => Self::failed(what, words(&error)),
        }
    }

    fn new(kind: Kind, what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self {
            kind,
            what: what.to_string(),
            why: why.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Error {}

/// An error of the system without the number that std adds.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
