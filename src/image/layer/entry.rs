//! An entry of a layer: what it says, in numbers and names that are in range.

use std::io::{self, Read};

use tar::EntryType;

use crate::image::compression::refuse;

/// How deep a path may be: overlayfs and everybody who walks a tree has to open as many directories.
pub const DEPTH_MAX: usize = 256;

/// The most bytes of a path; PATH_MAX of limits.h.
const PATH_BYTES_MAX: usize = 4096;

/// What a name begins with that hides another one.
const WHITEOUT: &[u8] = b".wh.";

/// Hides all that lower layers have in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What a former file system kept for itself.
const OF_AUFS: &[u8] = b".wh..wh.";

/// Where archives keep extended attributes.
const XATTR: &str = "SCHILY.xattr.";

/// A path by its names: none is empty, `.` or `..`. Without any it is the root.
pub type Names = Vec<Vec<u8>>;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// Make this.
    Node {
        /// Where.
        path: Names,
        /// What.
        node: Node,
        /// Whose, and when.
        attributes: Attributes,
    },
    /// Hide this of lower layers.
    Whiteout(Names),
    /// Hide all that lower layers have in this directory.
    Opaque(Names),
    /// Left out, as it should be.
    Skipped,
}

/// What an entry is.
#[derive(Debug, PartialEq, Eq)]
pub enum Node {
    #[allow(missing_docs)]
    Directory,
    /// Of so many bytes, which follow.
    File(u64),
    /// To whatever it says: it is followed by nobody here.
    Symlink(Vec<u8>),
    /// Another name of this.
    Hardlink(Names),
    #[allow(missing_docs)]
    Fifo,
}

/// Whose it is, and when it was changed.
#[derive(Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Attributes {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since the epoch, and nanoseconds.
    pub mtime: (i64, i64),
    pub xattrs: Vec<(String, Vec<u8>)>,
}

/// Reads the header of an entry and what was said about it before.
///
/// # Errors
/// InvalidData: what no layer needs, or what is out of range.
pub fn read(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Entry> {
    let path = names(&entry.path_bytes())?;
    if let Some(last) = path.last().filter(|last| last.starts_with(WHITEOUT)) {
        return whiteout(&path, last);
    }
    let shown = || String::from_utf8_lossy(&path.join(&b'/')).into_owned();
    let header = entry.header();
    let owner = |number: io::Result<u64>, of: &str| match number.ok().and_then(|number| u32::try_from(number).ok()) {
        Some(number) if number != u32::MAX => Ok(number),
        _ => Err(refuse(format!("{:?} has a {of} that is out of range", shown()))),
    };
    let (uid, gid) = (owner(header.uid(), "user")?, owner(header.gid(), "group")?);
    let mode = header
        .mode()
        .map_err(|_| refuse(format!("{:?} has no mode", shown())))?
        & 0o7777;
    let mtime = (i64::try_from(header.mtime().unwrap_or_default()).unwrap_or_default(), 0);
    let (kind, size) = (header.entry_type(), entry.size());
    let link = entry.link_name_bytes().unwrap_or_default().into_owned();
    // As before POSIX: of a directory only the slash tells.
    let is_old_directory = kind.is_file() && entry.path_bytes().ends_with(b"/");
    let kind = if is_old_directory { EntryType::Directory } else { kind };
    let node = match node(kind, size, link) {
        Some(node) => node?,
        // Devices: a root gets its own.
        None if kind.is_character_special() || kind.is_block_special() => return Ok(Entry::Skipped),
        None if kind.is_pax_global_extensions() => return Ok(Entry::Skipped),
        None => return Err(refuse(format!("{:?} is of a kind that no layer needs", shown()))),
    };
    if path.is_empty() && node != Node::Directory {
        return Err(refuse("the root is not a directory"));
    }
    let mut attributes = Attributes {
        mode,
        uid,
        gid,
        mtime,
        xattrs: Vec::new(),
    };
    further(entry, &mut attributes)?;
    Ok(Entry::Node { path, node, attributes })
}

fn node(kind: EntryType, size: u64, link: Vec<u8>) -> Option<io::Result<Node>> {
    if kind.is_file() || kind.is_contiguous() {
        Some(Ok(Node::File(size)))
    } else if kind.is_dir() {
        Some(Ok(Node::Directory))
    } else if kind.is_symlink() {
        Some(match link.is_empty() || link.len() > PATH_BYTES_MAX {
            true => Err(refuse("a link to nowhere")),
            false => Ok(Node::Symlink(link)),
        })
    } else if kind.is_hard_link() {
        Some(names(&link).map(Node::Hardlink))
    } else if kind.is_fifo() {
        Some(Ok(Node::Fifo))
    } else {
        None
    }
}

/// The names of a path, with `.` and `..` taken out as they are written: it ends within the root, whatever it says.
fn names(path: &[u8]) -> io::Result<Names> {
    let mut names = Names::new();
    if path.len() > PATH_BYTES_MAX || path.contains(&0) {
        return Err(refuse("a path is too long, or has a zero byte"));
    }
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop();
            }
            name => names.push(name.to_vec()),
        }
    }
    if names.len() > DEPTH_MAX {
        return Err(refuse(format!("a path is more than {DEPTH_MAX} directories deep")));
    }
    match names.iter().rev().skip(1).find(|name| name.starts_with(WHITEOUT)) {
        Some(_) => Err(refuse("a whiteout has something in it")),
        None => Ok(names),
    }
}

fn whiteout(path: &Names, last: &[u8]) -> io::Result<Entry> {
    let mut path = path.clone();
    path.pop();
    if last == OPAQUE {
        return Ok(Entry::Opaque(path));
    }
    if last.starts_with(OF_AUFS) {
        return Ok(Entry::Skipped);
    }
    match last.strip_prefix(WHITEOUT).unwrap_or_default() {
        b"" | b"." | b".." => Err(refuse("a whiteout of a directory itself")),
        hidden => {
            path.push(hidden.to_vec());
            Ok(Entry::Whiteout(path))
        }
    }
}

/// What a PAX header says besides what the crate has taken into account (path, link, size, uid and gid).
fn further(entry: &mut tar::Entry<'_, impl Read>, attributes: &mut Attributes) -> io::Result<()> {
    let Some(said) = entry.pax_extensions()? else {
        return Ok(());
    };
    for one in said {
        let one = one?;
        let Ok(key) = one.key() else { continue };
        if key.starts_with("GNU.sparse.") {
            return Err(refuse("a sparse file, which no layer needs"));
        }
        if key == "mtime"
            && let Some(time) = one.value().ok().and_then(time)
        {
            attributes.mtime = time;
        }
        if let Some(name) = key.strip_prefix(XATTR).filter(|name| is_allowed(name)) {
            attributes.xattrs.push((name.to_owned(), one.value_bytes().to_vec()));
        }
    }
    Ok(())
}

/// The attributes that a program may set itself, but for those that overlayfs believes.
fn is_allowed(name: &str) -> bool {
    name.starts_with("user.") && !name.starts_with("user.overlay.") && !name.contains('\0')
}

/// `1700000000.25`, `-1.5`.
fn time(text: &str) -> Option<(i64, i64)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = seconds.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: i64 = digits.parse().ok()?;
    match text.starts_with('-') && nanoseconds > 0 {
        true => Some((whole.checked_sub(1)?, 1_000_000_000 - nanoseconds)),
        false => Some((whole, nanoseconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_within_the_root_whatever_it_says() {
        let shown = |path: &str| names(path.as_bytes()).map(|names| String::from_utf8(names.join(&b'/')).unwrap());
        for (path, expected) in [
            ("a/b", "a/b"),
            ("/a//b/", "a/b"),
            ("./a/./b", "a/b"),
            ("../../etc/passwd", "etc/passwd"),
            ("a/../../b", "b"),
            ("dne/../.wh.etc", ".wh.etc"),
            ("..", ""),
            ("", ""),
            (".wh.a/..", ""),
        ] {
            assert_eq!(shown(path).unwrap(), expected, "{path}");
        }
        for path in [
            ".wh.etc/file",
            "a/.wh.b/c",
            "a\0b",
            &"a/".repeat(257),
            &"a".repeat(5000),
        ] {
            assert!(shown(path).is_err(), "{path:?} was taken");
        }
    }

    #[test]
    fn times_are_read_as_pax_writes_them() {
        for (text, expected) in [
            ("1700000000", Some((1_700_000_000, 0))),
            ("1700000000.25", Some((1_700_000_000, 250_000_000))),
            ("1.1234567891", Some((1, 123_456_789))),
            ("-1.5", Some((-2, 500_000_000))),
            ("x", None),
            ("1.x", None),
            ("", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
    }

    #[test]
    fn group_5_attributes_that_overlayfs_or_execve_believe_are_dropped() {
        for name in [
            "trusted.overlay.opaque",
            "user.overlay.opaque",
            "user.overlay.redirect",
            "security.capability",
            "system.posix_acl_access",
        ] {
            assert!(!is_allowed(name), "{name}");
        }
        assert!(is_allowed("user.mime_type") && is_allowed("user.overlayed"));
    }
}
