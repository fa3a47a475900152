//! Mounts the control groups: one tree of version 2, or a hierarchy of version 1 for each controller; cgroups(7), and
//! cgroup-v2 in the kernel's documentation.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use super::command_line::CommandLine;
use super::mounts::is_mount_point;
use super::settings::CgroupVersion;

const ROOT: &str = "/sys/fs/cgroup";
const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Controllers that share a hierarchy, since programs look for them under the joined name.
const JOINED: [(&str, &[&str]); 2] = [
    ("cpu,cpuacct", &["cpu", "cpuacct"]),
    ("net_cls,net_prio", &["net_cls", "net_prio"]),
];

/// The version that the kernel's command line asks for, or else the settings do.
pub fn version(line: &CommandLine, settings: CgroupVersion) -> CgroupVersion {
    match line.value("svc.cgroup") {
        None => settings,
        Some("v1") => CgroupVersion::V1,
        Some("v2") => CgroupVersion::V2,
        Some(other) => {
            tracing::error!("svc.cgroup={other} on the kernel command line: v1 or v2 is meant");
            settings
        }
    }
}

/// Mounts the control groups where none are mounted yet. What fails is said.
pub fn mount_all(version: CgroupVersion) {
    if is_mount_point(Path::new(ROOT)) {
        return;
    }
    match version {
        CgroupVersion::V2 => {
            if let Err(error) = mount_v2() {
                tracing::error!("mount cgroup2 on {ROOT}: {error}");
            }
        }
        CgroupVersion::V1 => mount_v1(),
    }
}

fn mount_v2() -> io::Result<()> {
    // Delegated groups are borders, and protection of memory is shared among those below; not every kernel knows both.
    for options in [c"nsdelegate,memory_recursiveprot", c"nsdelegate"] {
        match mount("cgroup2", ROOT, "cgroup2", FLAGS, options) {
            Err(Errno::INVAL) => {}
            other => return Ok(other?),
        }
    }
    Ok(mount("cgroup2", ROOT, "cgroup2", FLAGS, c"")?)
}

fn mount_v1() {
    let options = c"mode=0755,size=1m";
    if let Err(error) = mount("tmpfs", ROOT, "tmpfs", FLAGS, options) {
        return tracing::error!("mount tmpfs on {ROOT}: {error}");
    }
    let known = match fs::read_to_string("/proc/cgroups") {
        Ok(known) => known,
        Err(error) => return tracing::error!("/proc/cgroups: {error}"),
    };
    for name in hierarchies(&known) {
        if let Err(error) = mount_hierarchy(&name) {
            tracing::error!("mount cgroup {name} on {ROOT}/{name}: {error}");
        }
    }
}

fn mount_hierarchy(controllers: &str) -> io::Result<()> {
    let at = format!("{ROOT}/{controllers}");
    DirBuilder::new().mode(0o755).create(&at)?;
    let options = std::ffi::CString::new(controllers)?;
    if let Err(error) = mount("cgroup", &at, "cgroup", FLAGS, options.as_c_str()) {
        drop(fs::remove_dir(&at));
        return Err(error.into());
    }
    for alone in controllers.split(',').filter(|alone| *alone != controllers) {
        symlink(controllers, format!("{ROOT}/{alone}"))?;
    }
    Ok(())
}

/// What to mount for the controllers that /proc/cgroups lists as enabled.
fn hierarchies(known: &str) -> Vec<String> {
    let enabled: Vec<&str> = known
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(enabled)
        .collect();
    let joined = JOINED
        .iter()
        .filter(|(_, both)| both.iter().all(|name| enabled.contains(name)));
    let joined: Vec<&(&str, &[&str])> = joined.collect();
    let alone = enabled
        .iter()
        .filter(|name| !joined.iter().any(|(_, both)| both.contains(name)));
    let alone = alone.map(|name| (*name).to_owned());
    alone.chain(joined.iter().map(|(name, _)| (*name).to_owned())).collect()
}

/// `memory  0  51  1`: name, hierarchy, groups, enabled.
fn enabled(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    (words.nth(2) == Some("1")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_enabled_controller_has_one_hierarchy() {
        let known = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t0\t1\t1\ncpu\t0\t1\t1\ncpuacct\t0\t1\t1\n\
                     memory\t0\t1\t0\nnet_cls\t0\t1\t1\npids\t0\t1\t1\nhalf\t0\n\n";
        assert_eq!(hierarchies(known), ["cpuset", "net_cls", "pids", "cpu,cpuacct"]);
        assert!(hierarchies("").is_empty());
    }

    #[test]
    fn the_command_line_goes_before_the_settings() {
        let asked = |line: &str| version(&CommandLine::parse(line), CgroupVersion::V2);
        assert_eq!(asked("quiet svc.cgroup=v1"), CgroupVersion::V1);
        assert_eq!(asked("svc.cgroup=v1 svc.cgroup=v2"), CgroupVersion::V2);
        assert_eq!(asked("svc.cgroup=v3"), CgroupVersion::V2);
        assert_eq!(version(&CommandLine::default(), CgroupVersion::V1), CgroupVersion::V1);
    }
}
