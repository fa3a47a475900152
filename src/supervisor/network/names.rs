//! Names that services find each other by: an /etc/hosts that all on the bridge see, or one of a service's own where it
//! says names itself; and an /etc/resolv.conf. hosts(5), resolv.conf(5).
//!
//! A file keeps its inode, since it is mounted where services are: it is written in its place as addresses come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::unit::{Network, Service, UnitName};

const HOSTS: &str = "/etc/hosts";
const RESOLVERS: &str = "/etc/resolv.conf";
/// More of the machine's own file is not read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the files are, in the runtime directory. No unit's name begins with a dot.
pub fn directory(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("network")
}

/// What a service is to see, and from which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// It has a root of its own, in which the machine's files are not.
    pub has_root: bool,
    /// Its own, on top of those of the bridge.
    pub hosts: BTreeMap<Box<str>, IpAddr>,
    /// Its own name servers.
    pub dns: Vec<IpAddr>,
    /// It sees who is on the bridge.
    pub on_bridge: bool,
}

impl Names {
    /// None: it sees the names that are there, or has no view of its own.
    pub fn of(service: &Service, network: &Network) -> Option<Self> {
        let its = &service.connectivity;
        let names = Self {
            has_root: service.root.is_some(),
            hosts: its.hosts.clone(),
            dns: its.dns.clone(),
            on_bridge: *network == Network::Bridge,
        };
        let has_any = names.on_bridge || !names.hosts.is_empty() || !names.dns.is_empty();
        (service.isolation.mount && has_any).then_some(names)
    }

    /// The files that it sees, and in the place of which. Of the machine's own none is made: what it has not, nobody
    /// reads.
    pub fn mounts(&self, runtime_dir: &Path, unit: &UnitName) -> Vec<(PathBuf, &'static str)> {
        let (hosts, resolvers) = self.files(runtime_dir, unit);
        let hosts = hosts.map(|file| (file, HOSTS));
        let resolvers = resolvers.map(|file| (file, RESOLVERS));
        let asked = |target: &str| match target {
            HOSTS => !self.hosts.is_empty(),
            _ => !self.dns.is_empty(),
        };
        let shown = |(_, target): &(PathBuf, &str)| self.has_root || asked(target) || Path::new(target).exists();
        hosts.into_iter().chain(resolvers).filter(shown).collect()
    }

    fn files(&self, runtime_dir: &Path, unit: &UnitName) -> (Option<PathBuf>, Option<PathBuf>) {
        let directory = directory(runtime_dir);
        let shared = if self.has_root { ".hosts" } else { ".hosts-of-machine" };
        let hosts = match (self.hosts.is_empty(), self.on_bridge) {
            (false, _) => Some(directory.join(format!("{unit}.hosts"))),
            (true, true) => Some(directory.join(shared)),
            (true, false) => None,
        };
        let resolvers = match (self.dns.is_empty(), self.on_bridge && self.has_root) {
            (false, _) => Some(directory.join(format!("{unit}.resolv"))),
            (true, true) => Some(directory.join(".resolv")),
            (true, false) => None,
        };
        (hosts, resolvers)
    }

    /// Writes them; `on_bridge` is who is on it.
    ///
    /// # Errors
    /// As open(2) and write(2), with the file's name.
    pub fn write(&self, runtime_dir: &Path, unit: &UnitName, on_bridge: &[(UnitName, Vec<IpAddr>)]) -> io::Result<()> {
        self.write_but(&mut BTreeSet::new(), runtime_dir, unit, on_bridge)
    }

    /// The same, but for files that are `written` already, since many see the same.
    ///
    /// # Errors
    /// Likewise.
    pub fn write_but(
        &self,
        written: &mut BTreeSet<PathBuf>,
        runtime_dir: &Path,
        unit: &UnitName,
        on_bridge: &[(UnitName, Vec<IpAddr>)],
    ) -> io::Result<()> {
        let (hosts, resolvers) = self.files(runtime_dir, unit);
        if let Some(file) = hosts.filter(|file| written.insert(file.clone())) {
            put(&file, &self.hosts_text(on_bridge))?;
        }
        if let Some(file) = resolvers.filter(|file| written.insert(file.clone())) {
            put(&file, &self.resolvers_text())?;
        }
        Ok(())
    }

    fn hosts_text(&self, on_bridge: &[(UnitName, Vec<IpAddr>)]) -> String {
        let mut text = match self.has_root {
            true => String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"),
            false => of_machine(HOSTS),
        };
        // The first that is found counts.
        for (name, address) in &self.hosts {
            let _ = writeln!(text, "{address} {name}");
        }
        for (unit, addresses) in on_bridge.iter().filter(|_| self.on_bridge) {
            for address in addresses {
                let _ = writeln!(text, "{address} {unit}");
            }
        }
        text
    }

    fn resolvers_text(&self) -> String {
        if self.dns.is_empty() {
            return without_loopback(&of_machine(RESOLVERS));
        }
        self.dns
            .iter()
            .map(|address| format!("nameserver {address}\n"))
            .collect()
    }

    /// Removes what is this unit's alone.
    pub fn remove(runtime_dir: &Path, unit: &UnitName) {
        for kind in ["hosts", "resolv"] {
            drop(fs::remove_file(directory(runtime_dir).join(format!("{unit}.{kind}"))));
        }
    }
}

fn of_machine(path: &str) -> String {
    let mut text = String::new();
    if let Ok(file) = File::open(path) {
        let _ = io::Read::read_to_string(&mut io::Read::take(file, FILE_BYTES_MAX), &mut text);
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// A name server on the machine's loopback cannot be reached from another network.
fn without_loopback(text: &str) -> String {
    let is_loopback = |line: &&str| {
        let server = line.strip_prefix("nameserver").map(str::trim);
        server
            .and_then(|server| server.parse::<IpAddr>().ok())
            .is_some_and(|server| server.is_loopback())
    };
    let kept = text.lines().filter(|line| !is_loopback(line));
    kept.map(|line| format!("{line}\n")).collect()
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if fs::read_to_string(path).is_ok_and(|is| is == text) {
        return Ok(());
    }
    let write = || {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(path)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.set_len(text.len() as u64)
    };
    write().map_err(named)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn names(has_root: bool, hosts: &[(&str, &str)], dns: &[&str]) -> Names {
        Names {
            has_root,
            hosts: hosts
                .iter()
                .map(|(name, its)| ((*name).into(), its.parse().unwrap()))
                .collect(),
            dns: dns.iter().map(|its| its.parse().unwrap()).collect(),
            on_bridge: true,
        }
    }

    #[test]
    fn a_file_keeps_its_inode_as_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let unit = UnitName::new("web").unwrap();
        let all = [
            (
                UnitName::new("db").unwrap(),
                vec!["10.88.0.2".parse().unwrap(), "fd73::2".parse().unwrap()],
            ),
            (unit.clone(), vec!["10.88.0.3".parse().unwrap()]),
        ];
        let names = names(true, &[], &[]);
        names.write(dir.path(), &unit, &all).unwrap();
        let file = dir.path().join("network/.hosts");
        let before = fs::metadata(&file).unwrap().ino();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.ends_with("10.88.0.2 db\nfd73::2 db\n10.88.0.3 web\n"), "{text}");
        names.write(dir.path(), &unit, &all[..1]).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().ino(), before);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.ends_with("fd73::2 db\n"), "{text}");
        assert!(names.mounts(dir.path(), &unit).contains(&(file, HOSTS)));
    }

    #[test]
    fn what_a_unit_says_itself_is_in_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let unit = UnitName::new("web").unwrap();
        let names = names(true, &[("db", "10.9.9.9")], &["192.0.2.1"]);
        names.write(dir.path(), &unit, &[]).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join("network").join(name)).unwrap();
        assert!(read("web.hosts").ends_with("10.9.9.9 db\n"));
        assert_eq!(read("web.resolv"), "nameserver 192.0.2.1\n");
        Names::remove(dir.path(), &unit);
        assert_eq!(fs::read_dir(dir.path().join("network")).unwrap().count(), 0);
    }

    #[test]
    fn the_machines_own_resolver_is_left_out() {
        let text = "search a\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver ::1\n";
        assert_eq!(without_loopback(text), "search a\nnameserver 192.0.2.1\n");
    }
}
