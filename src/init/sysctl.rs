//! Kernel settings below /proc/sys; sysctl(8).

use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::settings::SysctlValue;

/// Writes one setting, by its name below `root` (/proc/sys).
///
/// # Errors
/// ENOENT: this kernel has no such setting. EINVAL and others, as the setting itself refuses the value.
pub fn write(root: &Path, name: &str, value: &SysctlValue) -> io::Result<()> {
    let dir = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(dir, path_of(name), flags, Mode::empty(), resolve)?;
    // One write: the kernel takes each for a whole value.
    std::fs::File::from(file).write_all(value.0.as_bytes())
}

/// `net.ipv4.ip_forward` and `net/ipv4/ip_forward` are one. Whichever of dot and slash comes first parts the words, and
/// the other stands for itself: `net.ipv4.conf.eth0/5.forwarding` is of the interface `eth0.5`. sysctl.d(5).
fn path_of(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes().get(at) == Some(&b'.') => {
            let swap = |letter| match letter {
                '.' => '/',
                '/' => '.',
                other => other,
            };
            name.chars().map(swap).collect()
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths() {
        for (name, path) in [
            ("kernel.pid_max", "kernel/pid_max"),
            ("net/ipv4/conf/eth0.5/forwarding", "net/ipv4/conf/eth0.5/forwarding"),
            ("net.ipv4.conf.eth0/5.forwarding", "net/ipv4/conf/eth0.5/forwarding"),
            ("alone", "alone"),
            ("", ""),
        ] {
            assert_eq!(path_of(name), path);
        }
    }

    #[test]
    fn nothing_outside_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("sys");
        std::fs::create_dir_all(root.join("net")).unwrap();
        std::fs::write(root.join("net/forward"), "0\n").unwrap();
        std::fs::write(dir.path().join("outside"), "old").unwrap();
        let value = SysctlValue("1".into());
        write(&root, "net.forward", &value).unwrap();
        assert_eq!(std::fs::read_to_string(root.join("net/forward")).unwrap(), "1");
        for bad in ["../outside", "...outside", "/etc/passwd", "net.none", "", "net"] {
            assert!(write(&root, bad, &value).is_err(), "{bad}");
        }
        assert_eq!(std::fs::read_to_string(dir.path().join("outside")).unwrap(), "old");
    }
}
