//! One file system, mounted by the words of mount(8): for the root, and for `[mount]` units.
//!
//! Blocks for as long as the device does: for a child, or a machine that has nothing else to do yet.

use std::fs;
use std::path::Path;

use rustix::mount::{FsPickFlags, fspick};

use crate::init::superblock;
use crate::sys::detached::{self, attach, detached, open};
pub use crate::sys::detached::{Failed, Mount};

/// Mounts it at a place that exists.
///
/// # Errors
/// What failed; nothing is mounted then.
pub fn mount(mount: &Mount<'_>, at: &Path) -> Result<(), Failed> {
    let tree = detached(mount)?;
    let place = open(at).map_err(Failed::at("where"))?;
    attach(tree, place).map_err(Failed::at("where"))
}

/// Changes what is mounted at a place already to these options; as `mount -o remount` does.
///
/// # Errors
/// An option that cannot be changed.
pub fn reconfigure(at: &Path, words: &[&str]) -> Result<(), Failed> {
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_NO_AUTOMOUNT;
    let context = fspick(rustix::fs::CWD, at, flags).map_err(Failed::at("where"))?;
    let place = open(at).map_err(Failed::at("where"))?;
    detached::reconfigure(&context, place, words)
}

/// What the device says it holds; or else all that the kernel can read from a block device, to be tried in turn.
pub fn kinds_of(device: &Path) -> Vec<String> {
    if let Ok(Some(found)) = fs::File::open(device).and_then(|file| superblock::read(&file)) {
        return vec![found.kind.to_owned()];
    }
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    known
        .lines()
        .filter_map(|line| line.strip_prefix('\t'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::is_root;

    #[test]
    fn a_refusal_says_what_was_refused() {
        if !is_root() {
            return eprintln!("SKIPPED: a_refusal_says_what_was_refused: not root");
        }
        let refused = |what: &str, kind: &str, options: &[&str]| {
            let mount = Mount { what, kind, options };
            super::mount(&mount, Path::new("/there/is/no/such/place")).unwrap_err()
        };
        let unknown = refused("tmpfs", "tmpfs", &["bogus=1"]);
        assert_eq!(unknown.errno, libc::EINVAL);
        assert!(unknown.detail.contains("bogus"), "{unknown}");
        let kind = refused("x", "no-such-kind", &[]);
        assert_eq!(kind.errno, libc::ENODEV);
        assert!(kind.detail.contains("no file system no-such-kind"), "{kind}");
        let place = refused("tmpfs", "tmpfs", &["size=1m", "noexec"]);
        assert_eq!((place.errno, &*place.detail), (libc::ENOENT, "where"));
        let what = refused("/there/is/nothing", "bind", &[]);
        assert_eq!((what.errno, &*what.detail), (libc::ENOENT, "what"));
        let bind = refused("/", "bind", &["size=1m"]);
        assert_eq!(
            (bind.errno, &*bind.detail),
            (libc::EINVAL, "option size: not one of a bind mount")
        );
    }
}
