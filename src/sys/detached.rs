//! One file system by the words of mount(8) and the calls of fsopen(2), attached nowhere yet.
//!
//! Blocks for as long as its device does: for a child, or a machine that has nothing else to do yet.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_reconfigure,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::mount::{Attributes, NO_EXEC, READ_ONLY, change_attributes};

/// What is to be mounted.
#[derive(Clone, Copy, Debug)]
pub struct Mount<'a> {
    /// A device, a directory to be bound, or whatever the kind calls its source.
    pub what: &'a str,
    /// As in /proc/filesystems; `bind` shows a directory or a file in a second place.
    pub kind: &'a str,
    /// One word or `key=value` each.
    pub options: &'a [&'a str],
}

/// What failed, and what the kernel said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// As errno(3).
    pub errno: i32,
    /// The option or the step that failed, or the kernel's own words; may be empty.
    pub detail: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", io::Error::from_raw_os_error(self.errno))?;
        if self.detail.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.detail)
    }
}

impl Failed {
    fn new(error: Errno, detail: impl Into<String>) -> Self {
        Self {
            errno: error.raw_os_error(),
            detail: detail.into(),
        }
    }

    /// The step that an error is of.
    pub fn at<E: Into<io::Error>>(step: &str) -> impl Fn(E) -> Self + '_ {
        move |error| Self {
            errno: error.into().raw_os_error().unwrap_or(libc::EIO),
            detail: step.to_owned(),
        }
    }
}

/// Makes it, attached nowhere yet.
///
/// # Errors
/// What failed.
pub fn detached(mount: &Mount<'_>) -> Result<OwnedFd, Failed> {
    detached_with(mount, |what| open(what).map_err(Failed::at("what")))
}

/// The same, where something else opens what is to be bound.
///
/// # Errors
/// Likewise.
pub fn detached_with(mount: &Mount<'_>, open: impl FnOnce(&str) -> Result<OwnedFd, Failed>) -> Result<OwnedFd, Failed> {
    let options = Options::read(mount.options);
    match (mount.kind, options.bind) {
        ("bind", None) => bound(|| open(mount.what), Bind::One, &options),
        (_, Some(bind)) => bound(|| open(mount.what), bind, &options),
        (kind, None) => fresh(mount.what, kind, &options),
    }
}

/// Attaches a mount on a place.
///
/// # Errors
/// As move_mount(2).
pub fn attach(mount: impl AsFd, at: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", at, "", flags)?)
}

/// Changes what a context of fspick(2) was made of, mounted at `place`, to these options.
///
/// # Errors
/// An option that cannot be changed.
pub fn reconfigure(context: &OwnedFd, place: impl AsFd, words: &[&str]) -> Result<(), Failed> {
    let options = Options::read(words);
    set_parameters(context, &options)?;
    fsconfig_reconfigure(context).map_err(|error| said(context, error, "options"))?;
    change_attributes(place, options.attributes, false).map_err(Failed::at("options"))
}

/// With no link of /proc followed: it could lead anywhere.
pub fn open(path: impl AsRef<Path>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    openat2(
        rustix::fs::CWD,
        path.as_ref(),
        flags,
        Mode::empty(),
        ResolveFlags::NO_MAGICLINKS,
    )
}

fn bound(open: impl FnOnce() -> Result<OwnedFd, Failed>, bind: Bind, options: &Options<'_>) -> Result<OwnedFd, Failed> {
    // It has the file system of its source, with that one's parameters; but for the two that are the mount's too.
    let foreign = options.parameters.iter().find(|(key, _)| !matches!(*key, "ro" | "rw"));
    if let Some((key, _)) = foreign {
        return Err(Failed::new(
            Errno::INVAL,
            format!("option {key}: not one of a bind mount"),
        ));
    }
    let source = open()?;
    let depth = match bind {
        Bind::One => OpenTreeFlags::empty(),
        Bind::Recursive => OpenTreeFlags::AT_RECURSIVE,
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(source, "", flags | depth).map_err(Failed::at("what"))?;
    change_attributes(&tree, options.attributes, bind == Bind::Recursive).map_err(Failed::at("options"))?;
    Ok(tree)
}

fn fresh(what: &str, kind: &str, options: &Options<'_>) -> Result<OwnedFd, Failed> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(|error| match error {
        Errno::NODEV => Failed::new(
            error,
            format!("this kernel has no file system {kind}, or its module is not loaded"),
        ),
        error => Failed::new(error, format!("type {kind}")),
    })?;
    fsconfig_set_string(&context, "source", what).map_err(|error| said(&context, error, "what"))?;
    set_parameters(&context, options)?;
    let attributes = MountAttrFlags::from_bits_retain(options.attributes.set as _);
    fsconfig_create(&context)
        .and_then(|()| fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes))
        .map_err(|error| said(&context, error, ""))
}

fn set_parameters(context: &OwnedFd, options: &Options<'_>) -> Result<(), Failed> {
    for (key, value) in &options.parameters {
        let set = match value {
            Some(value) => fsconfig_set_string(context, *key, *value),
            None => fsconfig_set_flag(context, *key),
        };
        set.map_err(|error| said(context, error, &format!("option {key}")))?;
    }
    Ok(())
}

/// An error with what the kernel wrote about it: each read of a context gives one line, as `e ext4: …`; fsopen(2).
fn said(context: &OwnedFd, error: Errno, step: &str) -> Failed {
    /// More than this is a log, not a message.
    const LINES_MAX: usize = 4;
    let mut lines: Vec<String> = Vec::new();
    let mut line = [0_u8; 512];
    while lines.len() < LINES_MAX
        && let Ok(length) = rustix::io::read(context, &mut line)
        && let Some(text) = line.get(2..length)
    {
        lines.push(String::from_utf8_lossy(text).trim().to_owned());
    }
    let detail = if lines.is_empty() {
        step.to_owned()
    } else {
        lines.join("; ")
    };
    Failed::new(error, detail)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bind {
    One,
    Recursive,
}

/// Options, sorted by who they are for.
#[derive(Debug, Default)]
struct Options<'a> {
    attributes: Attributes,
    /// For the file system itself.
    parameters: Vec<(&'a str, Option<&'a str>)>,
    bind: Option<Bind>,
}

/// linux/mount.h: MOUNT_ATTR_….
const NO_SUID: u64 = 0x2;
const NO_DEV: u64 = 0x4;
const ACCESS_TIMES: u64 = 0x70;
const NO_ACCESS_TIME: u64 = 0x10;
const STRICT_ACCESS_TIME: u64 = 0x20;
const NO_DIRECTORY_ACCESS_TIME: u64 = 0x80;
const NO_SYMLINK_FOLLOW: u64 = 0x20_0000;

/// Options of the mount: which attributes they clear, and then set. mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS".
const ATTRIBUTES: [(&str, u64, u64); 16] = [
    ("suid", NO_SUID, 0),
    ("nosuid", 0, NO_SUID),
    ("dev", NO_DEV, 0),
    ("nodev", 0, NO_DEV),
    ("exec", NO_EXEC, 0),
    ("noexec", 0, NO_EXEC),
    ("atime", ACCESS_TIMES, 0),
    ("relatime", ACCESS_TIMES, 0),
    ("noatime", ACCESS_TIMES, NO_ACCESS_TIME),
    ("strictatime", ACCESS_TIMES, STRICT_ACCESS_TIME),
    ("diratime", NO_DIRECTORY_ACCESS_TIME, 0),
    ("nodiratime", 0, NO_DIRECTORY_ACCESS_TIME),
    ("symfollow", NO_SYMLINK_FOLLOW, 0),
    ("nosymfollow", 0, NO_SYMLINK_FOLLOW),
    ("ro", 0, READ_ONLY),
    ("rw", READ_ONLY, 0),
];

/// Words of fstab(5) that tell programs when to mount, and the kernel nothing.
const NOT_FOR_THE_KERNEL: [&str; 7] = ["defaults", "auto", "noauto", "nofail", "_netdev", "user", "nouser"];

impl<'a> Options<'a> {
    fn read(words: &[&'a str]) -> Self {
        let mut options = Self::default();
        for word in words.iter().flat_map(|words| split(words)) {
            if let Some((_, clear, set)) = ATTRIBUTES.iter().find(|(name, ..)| *name == word) {
                options.attributes.clear |= clear;
                options.attributes.set = options.attributes.set & !clear | set;
            }
            match word {
                "bind" => options.bind = Some(Bind::One),
                "rbind" => options.bind = Some(Bind::Recursive),
                // Of the file system too: one that only reads its device must know.
                "ro" | "rw" => {
                    options.parameters.retain(|(key, _)| !matches!(*key, "ro" | "rw"));
                    options.parameters.push((word, None));
                }
                _ if word.is_empty() || word.starts_with("x-") || NOT_FOR_THE_KERNEL.contains(&word) => {}
                _ if ATTRIBUTES.iter().any(|(name, ..)| *name == word) => {}
                _ => options.parameters.push(match word.split_once('=') {
                    Some((key, value)) => (key, Some(value)),
                    None => (word, None),
                }),
            }
        }
        options
    }
}

/// `"noatime,size=1m"` is two options, as in fstab(5); a comma within double quotes parts nothing.
fn split(words: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    words.split(move |letter| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted() {
        let read = Options::read;
        let sorted = read(&["noatime", "size=1m,nodev,mode=0700", "x-a.b=c", "nofail", "acl"]);
        assert_eq!(sorted.attributes.clear, ACCESS_TIMES);
        assert_eq!(sorted.attributes.set, NO_ACCESS_TIME | NO_DEV);
        let parameters = [("size", Some("1m")), ("mode", Some("0700")), ("acl", None)];
        assert_eq!(sorted.parameters, parameters);
        assert_eq!(sorted.bind, None);
        // The last one counts.
        let sorted = read(&["nodev", "noatime", "ro", "dev", "strictatime", "rw"]);
        assert_eq!(sorted.attributes.set, STRICT_ACCESS_TIME);
        assert_eq!(sorted.parameters, [("rw", None)]);
        assert_eq!(read(&["rbind", "ro"]).bind, Some(Bind::Recursive));
        let quoted = read(&["context=\"a,b\",x"]).parameters;
        assert_eq!(quoted, [("context", Some("\"a,b\"")), ("x", None)]);
        let none = read(&["", ",,", "defaults"]);
        assert!(none.parameters.is_empty() && none.attributes == Attributes::default());
    }
}
