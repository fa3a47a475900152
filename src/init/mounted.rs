//! What is mounted where, as /proc/self/mountinfo has it; proc_pid_mountinfo(5). Text in, values out.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    pub at: PathBuf,
    pub kind: String,
    pub what: String,
}

/// All mounts that this process sees, in the order they were made.
///
/// # Errors
/// As open(2) of /proc/self/mountinfo.
pub fn all() -> io::Result<Vec<Mounted>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// What is seen at a place, if something is mounted right there.
pub fn at<'a>(mounts: &'a [Mounted], place: &Path) -> Option<&'a Mounted> {
    mounts.iter().rfind(|mounted| mounted.at == place)
}

/// Lines that make no sense are passed over.
fn parse(mountinfo: &[u8]) -> Vec<Mounted> {
    mountinfo.split(|b| *b == b'\n').filter_map(line).collect()
}

/// `31 23 0:28 / /data rw,relatime shared:9 - ext4 /dev/vdb rw`.
fn line(line: &[u8]) -> Option<Mounted> {
    let mut words = line.split(|b| *b == b' ');
    let at = unescape(words.nth(4)?);
    // Optional fields end at a lone hyphen.
    words.find(|word| *word == b"-")?;
    let (kind, what) = (words.next()?, words.next()?);
    let text = |word: &[u8]| String::from_utf8_lossy(&unescape(word)).into_owned();
    Some(Mounted {
        at: OsString::from_vec(at).into(),
        kind: text(kind),
        what: text(what),
    })
}

/// Blank, tab, newline and backslash are written as a backslash and three octal digits.
fn unescape(mut word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    while let Some((first, rest)) = word.split_first() {
        word = rest;
        plain.push(match (first, rest) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..]) => {
                word = rest;
                ((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0')
            }
            (other, _) => *other,
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_at_a_place_is_seen() {
        let mounts = parse(
            b"31 23 0:28 / /data rw,relatime shared:9 - ext4 /dev/vdb rw\n\
              32 31 0:29 / /data rw - tmpfs a\\040b rw,size=1m\n\
              33 31 0:30 /x /mnt/a\\040b\\134 rw master:1 - xfs /dev/vdc rw\n",
        );
        let seen = at(&mounts, Path::new("/data")).unwrap();
        assert_eq!((&*seen.kind, &*seen.what), ("tmpfs", "a b"));
        assert_eq!(at(&mounts, Path::new("/mnt/a b\\")).unwrap().kind, "xfs");
        assert_eq!(at(&mounts, Path::new("/mnt")), None);
    }

    /// RELIABILITY b 6: a path of 1 MiB, raw bytes, lines cut anywhere.
    #[test]
    fn row_06_odd_mountinfo() {
        let mut odd = b"30 23 0:26 / /".to_vec();
        odd.resize(1 << 20, b'x');
        odd.extend_from_slice(b" rw - tmpfs \xff\xfe\\ rw\n\\\\\\04\n - - -\n\0\n30 23 0:26 / /data rw - ext4");
        let whole = parse(&odd);
        assert_eq!(whole.len(), 1);
        for cut in (0..200).chain(odd.len() - 200..odd.len()) {
            assert!(parse(&odd[..cut]).len() <= 1);
        }
    }
}
