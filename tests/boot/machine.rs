//! A machine under qemu (TCG: no KVM needed), from its files to what its console said.

use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::tree::Tree;

/// A machine that hangs is ended after so many seconds; one that does not takes a few.
const PATIENCE_SECONDS: u32 = 180;

const QEMU: &str = "qemu-system-x86_64";

/// One emulated processor.
const PROCESSOR: &str = "-accel tcg -cpu max -m 384 -smp 1 -nodefaults -no-user-config -nographic -no-reboot \
    -serial mon:stdio";

/// Its clock counts instructions, at half a GHz, so that nothing depends on how busy this machine is, and it does not
/// wait while it has nothing to do. Not with a disk: while that is read no time would pass but that of its timeouts.
const CLOCK: &str = "-icount shift=1,sleep=off";

/// To be typed: presses Ctrl-Alt-Del. Ctrl-A C leads to qemu's monitor.
pub const CTRL_ALT_DEL: &str = "\x01csendkey ctrl-alt-delete\n\x01c";

/// To be typed: switches the machine off, whatever it does.
pub const PULL_THE_PLUG: &str = "\x01cquit\n";

/// What is on the console once the probe has ended well.
const END: &str = "PROBE: end";

/// A machine to be.
pub struct Machine {
    /// Its initramfs; None: the kernel mounts the disk itself.
    pub initramfs: Option<Tree>,
    /// Words of the kernel's command line, besides the console.
    pub line: String,
    /// Those that say where the console is.
    pub console: &'static str,
    disk: Option<(PathBuf, Bus)>,
    network: bool,
    folder: tempfile::TempDir,
}

/// How the disk is attached.
#[derive(Clone, Copy)]
pub enum Bus {
    /// /dev/vda; its drivers are modules.
    Virtio,
    /// /dev/nvme0n1; its driver is built in.
    Nvme,
}

/// What a machine's console said.
pub struct Console(pub String);

/// Says in the one form that tests/run counts that the calling test could not run here, and why. The caller returns.
fn skip(test: &str, why: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED: {test}: {why}");
}

impl Machine {
    /// A machine with nothing but svcd as /init, busybox, and the probe, which runs this script. None: it cannot be had
    /// here, which has been said.
    pub fn new(test: &str, script: &str) -> Option<Self> {
        if let Some(why) = missing() {
            skip(test, &why);
            return None;
        }
        let mut tree = Tree::default();
        tree.program("/init", svcd());
        probe(&mut tree, script);
        Some(Self {
            initramfs: Some(tree),
            line: String::new(),
            console: "console=ttyS0",
            disk: None,
            network: false,
            folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("make a directory"),
        })
    }

    pub fn tree(&mut self) -> &mut Tree {
        self.initramfs.get_or_insert_default()
    }

    pub fn line(mut self, words: &str) -> Self {
        self.line.push(' ');
        self.line.push_str(words);
        self
    }

    /// Kernel modules in the initramfs, with what they need and an index.
    pub fn modules(mut self, names: &[&str]) -> Self {
        let folder = self.folder.path().join("modules");
        let done = Command::new(repository().join("tests/guest/modules"))
            .args([guest(), folder.clone()])
            .args(names)
            .output()
            .expect("run tests/guest/modules");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        self.tree().copy(&folder);
        fs::remove_dir_all(folder).expect("remove a directory");
        self
    }

    /// A link to a network of qemu's own: 10.0.2.0/24, with a DHCP server that tells of a router and a name server; qemu(1).
    pub fn network(mut self) -> Self {
        self.network = true;
        self
    }

    /// A disk with this tree on it.
    pub fn disk(mut self, tree: &Tree, bus: Bus, label: &str, uuid: &str) -> Self {
        let image = self.folder.path().join("disk");
        tree.ext4(&image, 96, label, uuid);
        self.disk = Some((image, bus));
        self
    }

    /// Boots it and waits until the probe has powered it off.
    #[track_caller]
    pub fn boot(&self) -> Console {
        let console = self.run();
        assert!(console.has(END), "the probe did not end:\n{}", console.0);
        console
    }

    /// Boots it and waits until it is off.
    #[track_caller]
    pub fn run(&self) -> Console {
        self.talk(&[])
    }

    /// Boots it, types each text once the words before it are on the console, and waits until it is off.
    #[track_caller]
    pub fn talk(&self, steps: &[(&str, &str)]) -> Console {
        let mut qemu = Command::new("timeout");
        qemu.arg("--foreground").arg(PATIENCE_SECONDS.to_string());
        let mut qemu = self.start(qemu.arg(QEMU));
        let mut keyboard = qemu.stdin.take().expect("it has a pipe");
        let mut screen = BufReader::new(qemu.stdout.take().expect("it has a pipe"));
        let mut said = Vec::new();
        for (words, keys) in steps {
            let there = read_until(&mut screen, words, &mut said);
            assert!(there, "not on the console: {words}\n{}", String::from_utf8_lossy(&said));
            keyboard.write_all(keys.as_bytes()).expect("type");
        }
        screen.read_to_end(&mut said).expect("read the console");
        let status = qemu.wait().expect("wait for qemu");
        let console = Console(String::from_utf8_lossy(&said).replace('\r', ""));
        assert!(status.success(), "qemu: {status}\n{}", console.0);
        console
    }

    /// Boots it, and takes its power away after so long.
    pub fn cut(&self, after: Duration) {
        let mut qemu = self.start(&mut Command::new(QEMU));
        std::thread::sleep(after);
        qemu.kill().expect("kill qemu");
        qemu.wait().expect("wait for qemu");
    }

    /// Boots it, and takes its power away so long after these words were on the console.
    #[track_caller]
    pub fn cut_behind(&self, words: &str, after: Duration) {
        let mut qemu = self.start(&mut Command::new(QEMU));
        let mut screen = BufReader::new(qemu.stdout.take().expect("it has a pipe"));
        let mut said = Vec::new();
        let there = read_until(&mut screen, words, &mut said);
        std::thread::sleep(after);
        qemu.kill().expect("kill qemu");
        qemu.wait().expect("wait for qemu");
        assert!(there, "not on the console: {words}\n{}", String::from_utf8_lossy(&said));
    }

    /// Its console is its standard input and output.
    fn start(&self, qemu: &mut Command) -> Child {
        qemu.args(PROCESSOR.split_whitespace());
        if self.disk.is_none() {
            qemu.args(CLOCK.split_whitespace());
        }
        qemu.arg("-kernel").arg(guest().join("vmlinuz"));
        if let Some(tree) = &self.initramfs {
            let file = self.folder.path().join("initramfs");
            fs::write(&file, tree.initramfs()).expect("write the initramfs");
            qemu.arg("-initrd").arg(file);
        }
        if let Some((image, bus)) = &self.disk {
            let device = match bus {
                Bus::Virtio => "virtio-blk-pci,drive=disk",
                Bus::Nvme => "nvme,drive=disk,serial=1",
            };
            let drive = format!("if=none,id=disk,format=raw,file={}", image.display());
            qemu.args(["-drive", &drive, "-device", device]);
        }
        if self.network {
            qemu.args(["-nic", "user,model=virtio-net-pci,ipv6=off"]);
        }
        qemu.arg("-append")
            .arg(format!("{} loglevel=3 panic=-1{}", self.console, self.line));
        let qemu = qemu
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        qemu.spawn().expect("start qemu")
    }

    /// The image of its disk.
    pub fn image(&self) -> &Path {
        let (image, _) = self.disk.as_ref().expect("it has a disk");
        image
    }

    /// A file of the disk, read while the machine is off; None: it is not there.
    pub fn on_disk(&self, path: &str) -> Option<Vec<u8>> {
        let copy = self.folder.path().join("copy");
        let _ = fs::remove_file(&copy);
        let order = format!("dump {path} {}", copy.display());
        let done = Command::new("/sbin/debugfs")
            .args(["-R", &order])
            .arg(self.image())
            .output();
        assert!(done.expect("run debugfs").status.success());
        fs::read(copy).ok()
    }
}

/// Adds what is read to what was, up to these words, or else to the end: false.
fn read_until(screen: &mut impl Read, words: &str, said: &mut Vec<u8>) -> bool {
    let (begin, mut byte) = (said.len(), [0]);
    while screen.read(&mut byte).expect("read the console") != 0 {
        said.extend(byte);
        if said[begin..].ends_with(words.as_bytes()) {
            return true;
        }
    }
    false
}

impl Console {
    pub fn has(&self, text: &str) -> bool {
        self.0.contains(text)
    }

    #[track_caller]
    pub fn says(&self, text: &str) {
        assert!(self.has(text), "not on the console: {text}\n{}", self.0);
    }

    #[track_caller]
    pub fn does_not_say(&self, text: &str) {
        assert!(!self.has(text), "on the console: {text}\n{}", self.0);
    }

    /// When the kernel said this, in seconds since it began.
    #[track_caller]
    pub fn when(&self, text: &str) -> f64 {
        let line = self.0.lines().find(|line| line.contains(text));
        let stamp = line.and_then(|line| line.split_once('[')?.1.split_once(']')?.0.trim().parse().ok());
        stamp.unwrap_or_else(|| panic!("no time of {text} on the console:\n{}", self.0))
    }

    /// What the script printed as `KEY=value`.
    #[track_caller]
    pub fn value(&self, key: &str) -> &str {
        let mut lines = self.0.lines();
        let line = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {key}= on the console:\n{}", self.0))
    }
}

/// The unit and its script, where they are found without an /etc.
pub fn probe(tree: &mut Tree, script: &str) {
    tree.program("/bin/busybox", fs::read("/bin/busybox").expect("read busybox"));
    tree.link("/bin/sh", "busybox");
    tree.file(
        "/usr/lib/svc/probe",
        format!("{script}\necho '{END}'\nsync\npoweroff -f\n"),
    );
    tree.file("/usr/lib/svc/units/probe.toml", PROBE);
}

const PROBE: &str = r#"
[unit]
wanted-by = ["default"]
[service]
type = "oneshot"
exec-start = ["/bin/sh", "/usr/lib/svc/probe"]
timeout-start = "infinity"
standard-output = "inherit"
[isolation]
profile = "none"
"#;

/// svcd's program, without what only a debugger wants.
pub fn svcd() -> Vec<u8> {
    static STRIPPED: OnceLock<Vec<u8>> = OnceLock::new();
    STRIPPED.get_or_init(|| stripped(SVCD)).clone()
}

/// Any program likewise.
pub fn stripped(program: &str) -> Vec<u8> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("make a directory");
    let file = folder.path().join("stripped");
    let done = Command::new("strip").arg("-o").arg(&file).arg(program).status();
    assert!(done.expect("run strip").success());
    fs::read(file).expect("read a program")
}

const SVCD: &str = env!("CARGO_BIN_EXE_svcd");

/// What a machine needs that is not here.
fn missing() -> Option<String> {
    // A program's interpreter is named at its beginning, elf(5); further on the words may be anything.
    let names_linker = |bytes: &[u8]| bytes.windows(10).any(|part| part == b"/ld-linux-");
    let dynamic = |path: &str| fs::read(path).is_ok_and(|bytes| names_linker(&bytes[..bytes.len().min(4096)]));
    let needs = [
        (!guest().join("vmlinuz").exists())
            .then(|| format!("no kernel: `tests/guest/kernel {}` fetches one", guest().display())),
        dynamic(SVCD).then(|| "svcd is not static: cargo test --target x86_64-unknown-linux-musl".to_owned()),
        (!Path::new("/bin/busybox").exists()).then(|| "no /bin/busybox".to_owned()),
        (!Path::new("/usr/bin/qemu-system-x86_64").exists()).then(|| "no qemu-system-x86_64".to_owned()),
        (!Path::new("/sbin/mke2fs").exists()).then(|| "no mke2fs".to_owned()),
        (!Path::new("/sbin/depmod").exists()).then(|| "no depmod".to_owned()),
    ];
    needs.into_iter().flatten().next()
}

/// Where tests/guest/kernel has put the kernel.
fn guest() -> PathBuf {
    std::env::var_os("SVC_TEST_GUEST").map_or_else(|| repository().join("target/guest"), PathBuf::from)
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
