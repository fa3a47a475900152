//! A network namespace of a test's own, with a supervisor in it, web servers on its bridge, and others who ask them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::harness::{Plan, Svcd};
use super::machine::{eventually, is_root, program, skip};

/// A network namespace with loopback, as long as this is.
pub struct Lan(Child);

impl Lan {
    pub fn new() -> Self {
        let mut child = Command::new("unshare")
            .args([
                "-n",
                "sh",
                "-c",
                "ip link set lo up && echo ready && exec sleep 1000000",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        let lan = Self(child);
        // Where it is on, a service that asks for what the machine publishes of another is bridged there, to an isolated port.
        let netfilter = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables");
        if netfilter.exists() {
            lan.inside(|| fs::write(netfilter, "0").unwrap());
        }
        lan
    }

    pub fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// Does something in it.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let file = File::open(self.path()).unwrap();
        thread::scope(|scope| {
            let done = scope.spawn(move || {
                setns(file, CloneFlags::CLONE_NEWNET).unwrap();
                act()
            });
            done.join().unwrap()
        })
    }

    /// A command of ip(8), and what it says.
    pub fn ip(&self, line: &str) -> String {
        self.run(&[&["ip"], &*line.split(' ').collect::<Vec<_>>()].concat())
    }

    /// A command in it, and what it says.
    pub fn run(&self, command: &[&str]) -> String {
        self.inside(|| {
            let done = Command::new(command[0]).args(&command[1..]).output().unwrap();
            assert!(
                done.status.success(),
                "{command:?}: {}",
                String::from_utf8_lossy(&done.stderr)
            );
            String::from_utf8(done.stdout).unwrap()
        })
    }

    /// The names of its links.
    pub fn links(&self) -> Vec<String> {
        let all = self.ip("-o link");
        let name = |line: &str| {
            line.split(": ")
                .nth(1)
                .map(|name| name.split('@').next().unwrap().to_owned())
        };
        all.lines().filter_map(name).collect()
    }

    /// Another namespace beside it: 192.0.2.1 here, 192.0.2.2 there, which reaches all by way of here.
    pub fn neighbour(&self) -> Self {
        let other = Self::new();
        self.ip(&format!("link add up0 type veth peer name eth0 netns {}", other.0.id()));
        self.ip("addr add 192.0.2.1/24 dev up0");
        self.ip("link set up0 up");
        other.ip("addr add 192.0.2.2/24 dev eth0");
        other.ip("link set eth0 up");
        other.ip("route add default via 192.0.2.1");
        other
    }

    pub fn plan(&self) -> Plan {
        let net = format!("--net={}", self.path());
        Plan::new().under(&["nsenter", &net, "--"])
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

pub fn can_have_links(test: &str) -> bool {
    if !is_root() {
        skip(test, "not root");
        return false;
    }
    for name in ["ip", "unshare", "nsenter", "busybox"] {
        if program(name).is_none() {
            skip(test, &format!("no {name}"));
            return false;
        }
    }
    true
}

/// A web server on the bridge, whose page `/who` is the unit's name.
pub fn server(dir: &Path, name: &str, port: u16, network: &str) -> String {
    let pages = dir.join(format!("pages-{name}"));
    fs::create_dir_all(&pages).unwrap();
    fs::write(pages.join("who"), name).unwrap();
    let (busybox, pages) = (program("busybox").unwrap().display().to_string(), pages.display());
    format!(
        "[service]\nexec-start = [\"{busybox}\", \"httpd\", \"-f\", \"-vv\", \"-p\", \"{port}\", \"-h\", \"{pages}\"]\n\
         [network]\nmode = \"bridge\"\n{network}\n"
    )
}

/// What the server there says it is; Err: nobody, and why.
pub fn who(at: &str) -> Result<String, String> {
    let address: SocketAddr = at.parse().unwrap();
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(20))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(b"GET /who HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    let text = ask().map_err(|error| error.to_string())?;
    Ok(text.rsplit("\r\n").next().unwrap_or_default().to_owned())
}

/// The same from within a service: by python's resolver, or in a guest, which has none, by the names in /etc/hosts.
pub fn who_from(svcd: &Svcd, unit: &str, at: &str) -> Option<String> {
    const ASK: &str =
        "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=20).read().decode(), end='')";
    const ASK_PLAINLY: &str = "address=$(awk -v name=$1 '$2 == name { print $1; exit }' /etc/hosts); \
        printf 'GET /who HTTP/1.0\\r\\n\\r\\n' | nc -w 20 ${address:-$1} $2 | tail -n 1";
    let (host, port) = at.rsplit_once(':').unwrap_or((at, "80"));
    let host = host.trim_matches(['[', ']']);
    let url = format!("http://{at}/who");
    let line = match program("python3") {
        Some(python) => vec![python.display().to_string(), "-c".into(), ASK.into(), url],
        None => ["/bin/sh", "-c", ASK_PLAINLY, "ask", host, port]
            .map(String::from)
            .to_vec(),
    };
    let line: Vec<&str> = ["exec", unit, "--"]
        .into_iter()
        .chain(line.iter().map(String::as_str))
        .collect();
    let done = svcd.svc(&line);
    (done.code == 0 && !done.out.is_empty()).then_some(done.out)
}

/// Once it listens, which a web server says to nobody.
pub fn until_served(lan: &Lan, at: &str, name: &str) {
    eventually(at, || lan.inside(|| who(at)).as_deref() == Ok(name));
}

/// Likewise, of services on the bridge.
pub fn until_all_served(lan: &Lan, svcd: &Svcd, units: &[(&str, u16)]) {
    for (unit, port) in units {
        until_served(lan, &format!("{}:{port}", address(svcd, unit, true)), unit);
    }
}

/// Its address of that family, without the prefix.
pub fn address(svcd: &Svcd, unit: &str, v4: bool) -> IpAddr {
    let status = svcd.status(unit);
    let all = status["network"]["addresses"]
        .as_array()
        .unwrap_or_else(|| panic!("{status:#}"))
        .clone();
    let of = |text: &str| text.split('/').next().unwrap().parse::<IpAddr>().unwrap();
    all.iter()
        .map(|its| of(its.as_str().unwrap()))
        .find(|its| its.is_ipv4() == v4)
        .unwrap()
}
