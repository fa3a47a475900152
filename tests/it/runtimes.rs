//! svcd as the first process of containers that others make: runc and podman, with the rights that these give.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::harness::{binary, shell};
use super::machine::{eventually, is_root, program, skip};

/// What makes the container.
#[derive(Clone, Copy)]
enum Runtime {
    Runc,
    Podman,
}

/// A container, and the process that waits for its end. Dropped, it is removed.
struct Container {
    runtime: Runtime,
    folder: tempfile::TempDir,
    run: Child,
}

/// The container's root is below this in its folder; svc and svcd are seen at /opt.
const ROOT: &str = "rootfs";
const SVCD: [&str; 5] = ["/opt/svcd", "--units", "/units", "--settings", "/etc/svcd.toml"];
const SVC: &str = "/opt/svc";

/// Docker's default, which podman gives too but for CAP_MKNOD, CAP_NET_RAW and CAP_AUDIT_WRITE.
const CAPABILITIES: &str = r#"["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"]"#;

impl Runtime {
    /// Its program, with the options that keep its state below a folder. Words of a line are what is between blanks.
    fn line(self, folder: &Path) -> String {
        let folder = folder.display();
        match self {
            Self::Runc => format!("runc --root {folder}/state"),
            Self::Podman => format!(
                "podman --root {folder}/storage --runroot {folder}/state --tmpdir {folder}/tmp --cgroup-manager cgroupfs \
                 --events-backend file --runtime runc"
            ),
        }
    }

    /// The container of the bundle or root in that folder.
    fn run(self, folder: &Path, name: &str) -> String {
        let (folder, programs) = (folder.display(), programs());
        match self {
            Self::Runc => format!("run --bundle {folder} {name}"),
            // Its own limits are higher than root may set everywhere.
            Self::Podman => format!(
                "run --name {name} --rm --network none --log-driver none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
                 --volume {programs}:/opt:ro --rootfs {folder}/{ROOT} {}",
                SVCD.join(" ")
            ),
        }
    }

    fn kill(self, name: &str, signal: &str) -> String {
        match self {
            Self::Runc => format!("kill {name} {signal}"),
            Self::Podman => format!("kill --signal {signal} {name}"),
        }
    }

    /// Whatever it does.
    fn remove(self, name: &str) -> String {
        match self {
            Self::Runc => format!("delete --force {name}"),
            Self::Podman => format!("rm --force --ignore --time 0 {name}"),
        }
    }
}

fn command(runtime: Runtime, folder: &Path, words: &str) -> Command {
    let line = format!("{} {words}", runtime.line(folder));
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words);
    command
}

/// Where svc and svcd are.
fn programs() -> String {
    let svcd = binary("svcd");
    svcd.parent().expect("a directory").display().to_string()
}

/// A bundle of the OCI runtime specification, version 1.0.2.
fn bundle(folder: &Path) -> String {
    let namespaces = ["pid", "mount", "ipc", "uts", "network"].map(|kind| format!("{{\"type\": \"{kind}\"}}"));
    format!(
        r#"{{"ociVersion": "1.0.2", "root": {{"path": "{root}"}},
        "process": {{"cwd": "/", "user": {{"uid": 0, "gid": 0}}, "noNewPrivileges": true, "env": ["PATH=/bin"],
            "args": {SVCD:?}, "capabilities": {{"bounding": {CAPABILITIES}, "effective": {CAPABILITIES},
            "permitted": {CAPABILITIES}}}}},
        "mounts": [{{"destination": "/proc", "type": "proc", "source": "proc"}},
            {{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}},
            {{"destination": "/opt", "type": "bind", "source": "{programs}", "options": ["rbind", "ro"]}}],
        "linux": {{"namespaces": [{}]}}}}"#,
        namespaces.join(", "),
        root = folder.join(ROOT).display(),
        programs = programs(),
    )
}

impl Container {
    /// With these units, and app as the main one. None: it cannot be had here, which has been said.
    fn new(test: &str, runtime: Runtime, units: &[(&str, String)]) -> Option<Self> {
        let needed: &[&str] = match runtime {
            Runtime::Runc => &["busybox", "runc"],
            Runtime::Podman => &["busybox", "runc", "podman"],
        };
        if !is_root() {
            skip(test, "not root");
            return None;
        }
        if let Some(missing) = needed.iter().find(|name| program(name).is_none()) {
            skip(test, &format!("not installed: {missing}"));
            return None;
        }
        let folder = tempfile::Builder::new()
            .prefix("svc-test-")
            .tempdir()
            .expect("a directory");
        let root = folder.path().join(ROOT);
        for place in [
            "bin", "dev", "etc", "opt", "proc", "run", "sys", "tmp", "units", "var/lib", "var/log",
        ] {
            fs::create_dir_all(root.join(place)).expect("make a directory");
        }
        fs::copy(program("busybox").expect("found"), root.join("bin/busybox")).expect("copy busybox");
        for applet in ["sh", "sleep"] {
            symlink("busybox", root.join("bin").join(applet)).expect("make a link");
        }
        let zombies = "busybox grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | busybox wc -l\n";
        fs::write(root.join("zombies"), zombies).expect("write a script");
        for (name, text) in units {
            fs::write(root.join(format!("units/{name}.toml")), text).expect("write a unit");
        }
        fs::write(root.join("etc/svcd.toml"), "[container]\nmain = \"app\"\n").expect("write settings");
        fs::write(folder.path().join("config.json"), bundle(folder.path())).expect("write the bundle");
        let said = File::create(folder.path().join("said")).expect("make a file");
        let name = folder
            .path()
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let run = command(runtime, folder.path(), &runtime.run(folder.path(), &name))
            .stdin(Stdio::null())
            .stdout(said.try_clone().expect("share a file"))
            .stderr(said)
            .spawn();
        Some(Self {
            runtime,
            folder,
            run: run.expect("start the runtime"),
        })
    }

    fn name(&self) -> String {
        self.folder
            .path()
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    }

    /// All that was said on the container's standard streams.
    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).expect("read a file")
    }

    /// Its status, and what it said.
    fn order(&self, words: &str) -> (i32, String) {
        let done = command(self.runtime, self.folder.path(), words).output();
        let done = done.expect("run the runtime");
        let said = [done.stdout, done.stderr].concat();
        (
            done.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    fn exec(&self, words: &str) -> (i32, String) {
        self.order(&format!("exec {} {words}", self.name()))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.order(&self.runtime.remove(&self.name()));
        let _ = self.run.wait();
        // Podman leaves its storage mounted on itself where a run has failed.
        let _ = Command::new("umount")
            .arg(self.folder.path().join("storage/overlay"))
            .output();
    }
}

/// It keeps its units, reaps, refuses what it has no right to, passes signals on, and ends with its main unit's status.
fn is_an_init(test: &str, runtime: Runtime) {
    let plain = "[isolation]\nprofile = \"none\"\n";
    let boots = "[unit]\nwanted-by = [\"default\"]\n";
    let app = "trap 'echo got USR1; exit 7' USR1; echo ready; while :; do sleep 0.02; done";
    let storm = "n=0; while [ $n -lt 200 ]; do (sleep 0.01 &); n=$((n + 1)); done; echo over; exec sleep 1000000";
    let dying = "echo x >>/tmp/tries; [ $(busybox wc -l </tmp/tries) -ge 3 ] && exec sleep 1000000";
    let no_restart = format!("standard-output = \"inherit\"\n[restart]\npolicy = \"no\"\n{plain}");
    let units = [
        ("app", shell(app, &no_restart)),
        ("storm", format!("{boots}{}", shell(storm, plain))),
        (
            "dying",
            format!(
                "{boots}{}",
                shell(dying, &format!("[restart]\ndelay = \"1ms\"\n{plain}"))
            ),
        ),
        ("isolated", shell("exec sleep 1000000", "")),
    ];
    let Some(mut container) = Container::new(test, runtime, &units) else {
        return;
    };
    eventually("the main unit is ready", || container.said().contains("ready"));
    let says = |words: &str, text: &str| container.exec(&format!("{SVC} {words}")).1.contains(text);
    eventually("one that dies is brought back", || {
        says("status dying --json", "\"restarts\":2")
    });
    eventually("the storm is over", || says("logs storm", "over"));
    eventually("all orphans are reaped", || {
        container.exec("/bin/sh /zombies") == (0, "0\n".to_owned())
    });
    let (status, said) = container.exec(&format!("{SVC} start isolated"));
    assert!(status == 78 && said.contains("CAP_SYS_ADMIN"), "{status}: {said}");
    let (status, said) = container.order(&runtime.kill(&container.name(), "USR1"));
    assert_eq!(status, 0, "{said}");
    let ended = container.run.wait().expect("wait for the runtime");
    assert_eq!(ended.code(), Some(7), "{}", container.said());
    assert!(container.said().contains("got USR1"), "{}", container.said());
}

#[test]
fn svcd_is_the_init_of_a_container_of_runc() {
    is_an_init("svcd_is_the_init_of_a_container_of_runc", Runtime::Runc);
}

#[test]
fn svcd_is_the_init_of_a_container_of_podman() {
    is_an_init("svcd_is_the_init_of_a_container_of_podman", Runtime::Podman);
}
