//! packaging/microvm and packaging/initramfs: what they make is whole, and boots with the very command they print.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{repository, run, skip};

const WEB: &str = r#"
[unit]
wanted-by = ["default"]
[service]
exec-start-pre = ["/bin/sh", "-c", "mkdir -p /tmp/www && echo served > /tmp/www/index.html"]
exec-start = "/bin/busybox httpd -f -p 8080 -h /tmp/www"
"#;

/// Visits the server, kills it, visits its successor, and turns the machine off.
const VISITOR: &str = r#"
[unit]
wanted-by = ["default"]
requires = ["web"]
[service]
type = "oneshot"
exec-start = ["/bin/sh", "-c", '''
# Debian's busybox has an applet of this name, which its shell prefers.
alias svc=/usr/bin/svc
visit() { until wget -q -O - http://127.0.0.1:8080/; do sleep 0.1; done; }
pid() { svc status web --json | sed -n 's/.*"main-pid":{"host":\([0-9]*\).*/\1/p'; }
echo "first: $(visit)"
old=$(pid)
svc kill -s SIGKILL web
until [ -n "$(pid)" ] && [ "$(pid)" != "$$old" ]; do sleep 0.1; done
echo "second: $(visit)"
svc analyze
svc poweroff
''']
timeout-start = "infinity"
standard-output = "inherit"
[restart]
policy = "no"
[isolation]
profile = "none"
"#;

/// A folder with the scripts, programs and units in it, which any user may read and only root may write to.
struct Workshop(tempfile::TempDir);

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path();
        for name in ["initramfs", "microvm", "root.sh"] {
            fs::copy(repository().join("packaging").join(name), path.join(name)).expect("copy");
        }
        for (name, built) in [("svc", env!("CARGO_BIN_EXE_svc")), ("svcd", env!("CARGO_BIN_EXE_svcd"))] {
            run(Command::new("strip").arg("-o").arg(path.join(name)).arg(built));
        }
        fs::create_dir(path.join("units")).expect("a directory");
        fs::write(path.join("units/web.toml"), WEB).expect("write");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn unit(self, name: &str, text: &str) -> Self {
        fs::write(self.path("units").join(name), text).expect("write");
        self
    }

    /// One of the scripts, with the programs and units of this folder.
    fn script(&self, name: &str, out: &Path) -> Command {
        let mut command = Command::new(self.path(name));
        command.arg("--unit").arg(self.path("units")).arg("--out").arg(out);
        command
            .arg("--svcd")
            .arg(self.path("svcd"))
            .arg("--svc")
            .arg(self.path("svc"));
        command
    }
}

/// What a machine needs that is not here; said, where something is missing.
fn lacks(test: &str, programs: &[&str]) -> bool {
    let has = |name: &&str| {
        let mut folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter();
        folders.any(|folder| Path::new(folder).join(name).exists())
    };
    let missing: Vec<&str> = programs.iter().copied().filter(|name| !has(name)).collect();
    if !missing.is_empty() {
        skip(test, &format!("not installed: {}", missing.join(", ")));
    }
    !missing.is_empty()
}

/// What a file of an ext4 image is, as debugfs(8) tells it.
fn debugfs(image: &Path, request: &str) -> String {
    let done = run(Command::new("/sbin/debugfs").args(["-R", request]).arg(image));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn an_image_is_whole_and_all_roots_whoever_makes_it() {
    if lacks(
        "images::an_image_is_whole",
        &["mke2fs", "debugfs", "busybox", "setpriv"],
    ) {
        return;
    }
    let shop = Workshop::new();
    let by_us = shop.path("ours.img");
    let said = String::from_utf8(run(&mut shop.script("microvm", &by_us)).stdout).expect("text");
    assert!(
        said.contains("console=ttyS0") && said.contains("reboot=k panic=1 pci=off root=/dev/vda rw init="),
        "{said}"
    );
    let mut images = vec![by_us];
    if rustix::process::geteuid().is_root() {
        let folder = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::chown(folder.path(), Some(65534), Some(65534)).expect("chown");
        let theirs = folder.path().join("theirs.img");
        let script = shop.script("microvm", &theirs);
        let mut as_nobody = Command::new("setpriv");
        as_nobody
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(script.get_program())
            .args(script.get_args());
        run(&mut as_nobody);
        images.push(theirs);
        check_images(&images);
        return;
    }
    check_images(&images);
}

fn check_images(images: &[PathBuf]) {
    for image in images {
        run(Command::new("/sbin/e2fsck").arg("-fn").arg(image));
        for path in ["/usr/sbin/svcd", "/etc/svc/units/web.toml", "/usr/bin/busybox"] {
            let stat = debugfs(image, &format!("stat {path}"));
            assert!(
                stat.contains("Type: regular") && stat.contains("User:     0   Group:     0"),
                "{path}: {stat}"
            );
        }
        assert!(debugfs(image, "stat /usr/sbin/init").contains("\"svcd\""));
        let config = fs::read_to_string(format!("{}.json", image.display())).expect("for Firecracker");
        let config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
        assert_eq!(config["drives"][0]["path_on_host"], image.display().to_string());
        let line = config["boot-source"]["boot_args"].as_str().expect("text");
        for word in ["console=ttyS0", "reboot=k", "panic=1", "pci=off", "root=/dev/vda", "rw"] {
            assert!(line.split(' ').any(|its| its == word), "{word}: {line}");
        }
    }
}

#[test]
fn an_initramfs_has_svcd_as_init_and_the_units() {
    if lacks("images::an_initramfs", &["cpio", "gzip"]) {
        return;
    }
    let shop = Workshop::new();
    let out = shop.path("initramfs.gz");
    run(&mut shop.script("initramfs", &out));
    let listed = run(Command::new("sh")
        .args(["-c", "gzip -dc \"$1\" | cpio --quiet -tv", "sh"])
        .arg(&out));
    let listed = String::from_utf8(listed.stdout).expect("text");
    for end in ["init -> usr/sbin/svcd", " usr/sbin/svcd", " etc/svc/units/web.toml"] {
        assert!(listed.lines().any(|line| line.ends_with(end)), "{end}: {listed}");
    }
    assert!(listed.lines().all(|line| line.contains(" root     root ")), "{listed}");
}

#[test]
fn a_mistake_is_told_and_nothing_is_made() {
    let shop = Workshop::new().unit("wrong.toml", "[service]\nexec-strat = \"/bin/true\"\n");
    let out = shop.path("vm.img");
    let refused = |command: &mut Command| -> String {
        let Output { status, stderr, .. } = command.output().expect("run");
        assert!(!status.success() && !out.exists());
        String::from_utf8(stderr).expect("text")
    };
    let said = refused(&mut shop.script("microvm", &out));
    assert!(
        said.contains("exec-strat") && said.contains("did you mean `exec-start`?"),
        "{said}"
    );
    let said = refused(shop.script("microvm", &out).args(["--fly", "away"]));
    assert!(said.contains("microvm: --fly: no such option"), "{said}");
    let said = refused(shop.script("microvm", &out).arg("--size"));
    assert!(said.contains("--size: a value is missing"), "{said}");
    let said = refused(shop.script("microvm", &out).args(["--root", "/nowhere"]));
    assert!(said.contains("/nowhere: no such directory"), "{said}");
    let said = refused(shop.script("initramfs", &out).args(["--svcd", "/nowhere/svcd"]));
    assert!(said.contains("/nowhere/svcd: no such program"), "{said}");
}

/// The whole way: one command makes the machine; the command that it prints boots it; it serves, survives a killed
/// server, and turns itself off with a clean file system.
#[test]
fn a_machine_boots_serves_survives_and_powers_off() {
    let test = "images::a_machine_boots";
    if lacks(test, &["mke2fs", "e2fsck", "busybox", "qemu-system-x86_64", "timeout"]) {
        return;
    }
    let guest = std::env::var_os("SVC_TEST_GUEST").map_or_else(|| repository().join("target/guest"), PathBuf::from);
    let modules = fs::read_dir(guest.join("modules/lib/modules"))
        .into_iter()
        .flatten()
        .flatten()
        .next();
    let (true, Some(modules)) = (guest.join("vmlinuz").exists(), modules) else {
        return skip(
            test,
            &format!("no kernel: tests/guest/kernel {} fetches one", guest.display()),
        );
    };
    let shop = Workshop::new().unit("visitor.toml", VISITOR);
    let image = shop.path("a machine's.img");
    let mut script = shop.script("microvm", &image);
    script
        .arg("--kernel")
        .arg(guest.join("vmlinuz"))
        .arg("--modules")
        .arg(modules.path());
    let said = String::from_utf8(run(&mut script).stdout).expect("text");
    let line = said
        .lines()
        .find(|line| line.starts_with("qemu-system-x86_64 "))
        .expect("a command for qemu");
    // A machine that hangs is ended after three minutes; one that does not takes some ten seconds.
    let booted = run(Command::new("timeout").args(["-k", "5", "180", "sh", "-c", line]));
    let console = String::from_utf8_lossy(&booted.stdout).replace('\r', "");
    for text in [
        "first: served",
        "second: served",
        "the slowest of them web",
        "svcd: powering off",
    ] {
        assert!(console.contains(text), "{text}\n{console}");
    }
    run(Command::new("/sbin/e2fsck").arg("-fn").arg(&image));
    let header = run(Command::new("/sbin/dumpe2fs").arg("-h").arg(&image));
    let header = String::from_utf8_lossy(&header.stdout).into_owned();
    assert!(
        header.contains("clean") && !header.contains("needs_recovery"),
        "{header}"
    );
}
