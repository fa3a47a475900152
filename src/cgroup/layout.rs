//! Which controller is where: reads what /proc says of the mounted cgroup hierarchies. Text in, values out; opens nothing.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::sys::proc::unescaped;

/// The two generations of control groups; cgroups(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy for each controller, or for a few.
    V1,
    /// One for all that are not on v1.
    V2,
}

/// One mounted hierarchy, as /proc/self/mountinfo and /proc/self/cgroup describe it together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Which generation.
    pub version: Version,
    /// Its controllers on v1, `name=…` included. Empty on v2, where `cgroup.controllers` says it for each group.
    pub controllers: Vec<Box<str>>,
    /// Where it is mounted.
    pub at: PathBuf,
    /// Our own group, relative to the mount: empty at its root. None where the mount does not show it.
    pub own: Option<PathBuf>,
}

/// A line of /proc/cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The controller.
    pub name: Box<str>,
    /// False with `cgroup_disable=` on the kernel's command line.
    pub enabled: bool,
}

/// The cgroup mounts in the order they were made. Lines that make no sense are passed over: they are of other mounts,
/// or of no use. proc_pid_mountinfo(5).
pub fn mounts(mountinfo: &[u8], own_groups: &[u8]) -> Vec<Mounted> {
    let own_groups: Vec<OwnGroup> = own_groups.split(|b| *b == b'\n').filter_map(own_group).collect();
    mountinfo
        .split(|b| *b == b'\n')
        .filter_map(|line| mount(line, &own_groups))
        .collect()
}

/// What this kernel was built with. /proc/cgroups in cgroups(7).
pub fn known(proc_cgroups: &[u8]) -> Vec<Known> {
    let lines = proc_cgroups.split(|b| *b == b'\n').filter(|l| !l.starts_with(b"#"));
    lines
        .filter_map(|line| {
            let mut words = line.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty());
            let name = text(words.next()?)?;
            let enabled = words.nth(2)? == b"1";
            Some(Known { name, enabled })
        })
        .collect()
}

/// One line of /proc/self/cgroup: `4:memory:/a/b`, and `0::/a/b` for v2.
struct OwnGroup {
    controllers: Vec<Box<str>>,
    path: Vec<u8>,
}

fn own_group(line: &[u8]) -> Option<OwnGroup> {
    let mut parts = line.splitn(3, |b| *b == b':');
    let (_number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let controllers = controllers.split(|b| *b == b',').filter(|c| !c.is_empty());
    Some(OwnGroup {
        controllers: controllers.map(text).collect::<Option<_>>()?,
        path: path.to_vec(),
    })
}

fn mount(line: &[u8], own_groups: &[OwnGroup]) -> Option<Mounted> {
    let mut words = line.split(|b| *b == b' ');
    let (root, at) = (unescaped(words.nth(3)?), unescaped(words.next()?));
    // Optional fields end at a lone hyphen.
    words.find(|w| *w == b"-")?;
    let (kind, _source, options) = (words.next()?, words.next()?, words.next()?);
    let (version, own) = match kind {
        b"cgroup2" => (Version::V2, own_groups.iter().find(|g| g.controllers.is_empty())),
        b"cgroup" => (Version::V1, own_groups.iter().find(|g| mounts_all(options, g))),
        _ => return None,
    };
    // A v1 mount that no line of /proc/self/cgroup names has no controllers that we could tell from its flags.
    let controllers = match version {
        Version::V1 => own?.controllers.clone(),
        Version::V2 => Vec::new(),
    };
    let own = own.and_then(|g| below(&root, &g.path));
    Some(Mounted {
        version,
        controllers,
        at: OsString::from_vec(at).into(),
        own,
    })
}

fn mounts_all(options: &[u8], group: &OwnGroup) -> bool {
    let has = |name: &str| options.split(|b| *b == b',').any(|o| o == name.as_bytes());
    !group.controllers.is_empty() && group.controllers.iter().all(|c| has(c))
}

/// `path` relative to `root`, where it is at or under it.
fn below(root: &[u8], path: &[u8]) -> Option<PathBuf> {
    // Outside of our cgroup namespace there is nothing that we could name.
    if path.split(|b| *b == b'/').any(|part| part == b"..") {
        return None;
    }
    let root = root.strip_suffix(b"/").unwrap_or(root);
    let rest = path.strip_prefix(root)?;
    let rest = match rest {
        [] => rest,
        [b'/', rest @ ..] => rest,
        _ => return None,
    };
    Some(OsString::from_vec(rest.to_vec()).into())
}

/// Names of controllers are plain ASCII; what is not, is none.
fn text(bytes: &[u8]) -> Option<Box<str>> {
    std::str::from_utf8(bytes).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime master:1 shared:9 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate";
    const HYBRID_OWN: &str = "9:name=systemd:/\n4:memory:/a b/c\n1:cpu,cpuacct:/\n0::/init.scope\n";

    fn shown(mountinfo: &[u8], own: &[u8]) -> Vec<String> {
        let line = |m: Mounted| {
            format!(
                "{:?} {} {} {:?}",
                m.version,
                m.controllers.join("+"),
                m.at.display(),
                m.own
            )
        };
        mounts(mountinfo, own).into_iter().map(line).collect()
    }

    #[test]
    fn layouts() {
        let table: &[(&str, &str, &str, &[&str])] = &[
            (
                "hybrid",
                HYBRID,
                HYBRID_OWN,
                &[
                    "V1 cpu+cpuacct /sys/fs/cgroup/cpu,cpuacct Some(\"\")",
                    "V1 memory /sys/fs/cgroup/memory Some(\"a b/c\")",
                    "V1 name=systemd /sys/fs/cgroup/systemd Some(\"\")",
                    "V2  /sys/fs/cgroup/unified Some(\"init.scope\")",
                ],
            ),
            (
                "v2 alone",
                "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw",
                "0::/user.slice/x\n",
                &["V2  /sys/fs/cgroup Some(\"user.slice/x\")"],
            ),
            (
                "a container sees its part of the tree",
                "30 23 0:26 /docker/1f /sys/fs/cgroup ro - cgroup2 cgroup2 rw",
                "0::/docker/1f/app\n",
                &["V2  /sys/fs/cgroup Some(\"app\")"],
            ),
            (
                "a part of the tree that we are not in",
                "30 23 0:26 /docker/1f /sys/fs/cgroup ro - cgroup2 cgroup2 rw",
                "0::/docker/1ff\n",
                &["V2  /sys/fs/cgroup None"],
            ),
            (
                "outside of the namespace",
                "30 23 0:26 /../.. /sys/fs/cgroup ro - cgroup2 cgroup2 rw",
                "0::/../x\n",
                &["V2  /sys/fs/cgroup None"],
            ),
            (
                "escapes",
                "30 23 0:26 / /mnt/a\\040b\\134\\011c\\012\\9 rw - cgroup2 cgroup2 rw",
                "0::/\n",
                &["V2  /mnt/a b\\\tc\n\\9 Some(\"\")"],
            ),
            ("no cgroups at all", "1 0 0:1 / / rw - ext4 /dev/vda rw", "", &[]),
            (
                "a v1 mount that we have no line for",
                "1 0 0:1 / /x rw - cgroup cgroup rw,pids",
                "0::/\n",
                &[],
            ),
            ("empty", "", "", &[]),
        ];
        for (name, mountinfo, own, expected) in table {
            assert_eq!(shown(mountinfo.as_bytes(), own.as_bytes()), *expected, "{name}");
        }
    }

    /// RELIABILITY b 6: a path of 1 MiB, raw bytes, lines cut anywhere.
    #[test]
    fn garbage_is_passed_over() {
        let mut long = b"30 23 0:26 / /".to_vec();
        long.resize(1 << 20, b'x');
        long.extend_from_slice(
            b" rw - cgroup2 cgroup2 rw\n\xff\xfe \x00 - cgroup\n- - - -\n31 23 0:27 / /\xff rw - cgroup2 x rw",
        );
        let found = mounts(&long, b"0::/\n\xff:\xff:\xff\n:::\n7\n");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].at.as_os_str().len(), (1 << 20) - 13);
        for end in 0..HYBRID.len() {
            assert!(mounts(&HYBRID.as_bytes()[..end], HYBRID_OWN.as_bytes()).len() <= 4);
        }
        for end in 0..HYBRID_OWN.len() {
            assert!(mounts(HYBRID.as_bytes(), &HYBRID_OWN.as_bytes()[..end]).len() <= 4);
        }
    }

    #[test]
    fn known_controllers() {
        let text =
            b"#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\nmemory\t0\t1\t0\nbroken\t1\n\xff\t1\t1\t1\n";
        let found: Vec<_> = known(text)
            .into_iter()
            .map(|k| (k.name.to_string(), k.enabled))
            .collect();
        assert_eq!(found, [("cpu".into(), true), ("memory".into(), false)]);
    }
}
