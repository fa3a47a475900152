//! What a root, or a service in it, does to the machine's files and to svcd.

use std::fs;
use std::os::unix::fs::{lchown, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::harness::{Plan, Svcd, shell};
use super::super::machine::{is_root, often, skip};
use super::super::roots::{folder, programs};
use super::super::view::{look, said};

fn root_at(root: &Path) -> String {
    format!("[root]\npath = \"{}\"\n{}", root.display(), programs())
}

/// What of the machine decides who is run at a crash, and what a key on the console does.
fn of_the_kernel() -> [String; 2] {
    ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/sysrq"].map(|file| fs::read_to_string(file).unwrap_or_default())
}

/// CVE-2025-52881: what is written to a file of /proc goes to another, since two services share the root and one swaps what
/// is /proc there while the other starts. Nothing that svcd writes for the start (the score, the clocks, the ids) goes to
/// what stands there in place of /proc.
#[test]
fn what_is_written_to_proc_goes_nowhere_else() {
    if !is_root() {
        return skip("what_is_written_to_proc_goes_nowhere_else", "not root");
    }
    let plan = Plan::new();
    let root = folder(&plan, "root");
    let files = [
        "oom_score_adj",
        "uid_map",
        "gid_map",
        "setgroups",
        "timens_offsets",
        "comm",
    ];
    fs::create_dir_all(root.join("false/self/attr")).unwrap();
    for file in files {
        fs::write(root.join("false/self").join(file), "").unwrap();
    }
    fs::create_dir(root.join("proc")).unwrap();
    symlink("/proc/sys/kernel", root.join("link")).unwrap();
    let keys = format!(
        "type = \"oneshot\"\noom-score-adj = 300\n[restart]\npolicy = \"no\"\n[isolation]\n\
         user = \"identity\"\ntime = {{ boottime = \"1d\" }}\nbest-effort = [\"time\", \"user\"]\n{}",
        root_at(&root)
    );
    let svcd = plan.unit("victim", &shell("exit 0", &keys)).start();
    let before = of_the_kernel();
    assert_eq!(
        svcd.svc(&["start", "victim"]).code,
        0,
        "with an ordinary /proc it starts"
    );
    let stop = AtomicBool::new(false);
    let good = std::thread::scope(|scope| {
        scope.spawn(|| {
            let swap = |one: &str, other: &str| {
                let (cwd, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
                rustix::fs::renameat_with(cwd, root.join(one), cwd, root.join(other), flags).unwrap();
            };
            while !stop.load(Ordering::Relaxed) {
                swap("proc", "false");
                swap("proc", "link");
                swap("proc", "link");
                swap("proc", "false");
            }
        });
        let good = (0..often(100))
            .filter(|_| svcd.svc(&["start", "victim"]).code == 0)
            .count();
        stop.store(true, Ordering::Relaxed);
        good
    });
    eprintln!("{good} of the starts were good");
    for file in files {
        let path = root.join("false/self").join(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "", "{}", path.display());
    }
    assert_eq!(fs::read_dir(root.join("false/self")).unwrap().count(), files.len() + 1);
    assert_eq!(of_the_kernel(), before);
}

/// CVE-2025-31133, CVE-2025-52565, CVE-2024-5154: nodes of a root's /dev, which others mount over its files, and its
/// /etc/mtab, which they make, are links to the outside.
#[test]
fn devices_are_not_those_of_the_root() {
    if !is_root() {
        return skip("devices_are_not_those_of_the_root", "not root");
    }
    let plan = Plan::new();
    let (outside, root) = (folder(&plan, "outside"), folder(&plan, "root"));
    fs::create_dir_all(root.join("dev/pts")).unwrap();
    fs::create_dir(root.join("etc")).unwrap();
    for name in [
        "dev/null",
        "dev/console",
        "dev/pts/0",
        "dev/ptmx",
        "dev/zero",
        "etc/mtab",
    ] {
        let marker = outside.join(name.replace('/', "-"));
        fs::write(&marker, "untouched").unwrap();
        symlink(format!("../../outside/{}", name.replace('/', "-")), root.join(name)).unwrap();
    }
    let script = look(
        "stat -c '%F %t:%T' /dev/null /dev/zero; for f in /proc/kcore /proc/sysrq-trigger /proc/timer_list; do \
         [ -L $f ] && echo link $f; (echo x >$f) 2>/dev/null && [ ! -c $f ] && echo writes $f; done; echo x >/dev/null; \
         for f in /dev/console /dev/pts/0; do [ -f $f ] && echo file $f; done",
    );
    let svcd = plan.unit("web", &shell(&script, &root_at(&root))).start();
    assert_eq!(
        said(&svcd, "web"),
        ["character special file 1:3", "character special file 1:5"]
    );
    for entry in fs::read_dir(&outside).unwrap().flatten() {
        assert_eq!(fs::read_to_string(entry.path()).unwrap(), "untouched", "{entry:?}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 6);
}

/// CVE-2019-5736: a program that is the one that started it, by the link of /proc, and that writes to it.
#[test]
fn svcds_program_is_not_overwritten() {
    if !is_root() {
        return skip("svcds_program_is_not_overwritten", "not root");
    }
    let plan = Plan::new().with_own_program();
    let script = plan.dir().join("script");
    fs::write(&script, "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let once = "type = \"oneshot\"\n[restart]\npolicy = \"no\"\n";
    let writes = "for p in /proc/1/exe /proc/self/exe; do (echo overwritten >$p) 2>/dev/null && echo wrote $p; done; \
                  (echo overwritten >>/proc/$(cut -d' ' -f4 /proc/self/stat)/exe) 2>/dev/null && echo wrote parent";
    let itself = |program: &str| format!("[service]\nexec-start = [\"{program}\", \"--version\"]\n{once}");
    let svcd = plan
        .unit("itself", &itself("/proc/self/exe"))
        .unit("script", &itself(&script.display().to_string()))
        .unit("writes", &shell(&look(writes), ""))
        .unit("alone", &shell(&look(writes), "[isolation]\ninit = false\n"))
        .start();
    let before = fs::read(svcd.program()).unwrap();
    for unit in ["itself", "script"] {
        svcd.svc(&["start", unit]);
    }
    for unit in ["writes", "alone"] {
        assert_eq!(said(&svcd, unit), [""; 0], "{unit}");
    }
    assert!(
        before == fs::read(svcd.program()).unwrap(),
        "svcd's program has changed"
    );
}

/// CVE-2025-24965, CVE-2026-40226: a file of the root is taken for one of the machine's that configures what is done with
/// it.
#[test]
fn nothing_in_a_root_configures_svcd() {
    if !is_root() {
        return skip("nothing_in_a_root_configures_svcd", "not root");
    }
    let plan = Plan::new();
    let (root, outside) = (folder(&plan, "root"), folder(&plan, "outside"));
    let evil = shell(
        &format!("touch {}/made", outside.display()),
        "[isolation]\nprofile = \"none\"\n",
    );
    for (file, text) in [
        ("etc/svc/svcd.toml", "[boot]\nmodules = [\"none\"]\n"),
        ("etc/svc/units/evil.toml", &evil),
        ("etc/svc/units/web.toml", &evil),
        ("run/svc/units/evil.toml", &evil),
        ("usr.toml", &evil),
    ] {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let svcd = plan.unit("web", &shell(&look("echo runs"), &root_at(&root))).start();
    assert_eq!(said(&svcd, "web"), ["runs"]);
    assert!(!svcd.ok(&["list", "--all"]).contains("evil"));
    svcd.ok(&["restart", "web"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

/// CVE-2019-14271, CVE-2022-1227: a library or program of the root is loaded or run by one who is not in it, such as for
/// the names of users. The files that would name one are FIFOs here: whoever opened them would never come back.
#[test]
fn no_code_of_a_root_runs_outside() {
    if !is_root() {
        return skip("no_code_of_a_root_runs_outside", "not root");
    }
    let plan = Plan::new();
    let root = folder(&plan, "root");
    fs::create_dir(root.join("etc")).unwrap();
    fs::write(root.join("etc/passwd"), "web:x:4711:4712:web:/:/bin/sh\n").unwrap();
    for name in ["etc/nsswitch.conf", "etc/ld.so.preload"] {
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, root.join(name), kind, mode, 0).unwrap();
    }
    // Of a program without a C library of its own, only svcd itself is without these files.
    let unit = format!(
        "[service]\nexec-start = [\"/srv/program\"]\ntype = \"oneshot\"\nuser = \"web\"\n{}",
        root_at(&root)
    );
    fs::create_dir(root.join("srv")).unwrap();
    fs::copy(super::super::harness::binary("svcd"), root.join("srv/program")).unwrap();
    let unit = unit.replace("/srv/program\"]", "/srv/program\", \"--version\"]");
    let svcd = plan.unit("web", &unit).start();
    let is_static = cfg!(target_env = "musl");
    if !is_static {
        return skip("no_code_of_a_root_runs_outside", "this svcd is linked dynamically");
    }
    svcd.ok(&["start", "web"]);
    assert_interpreter_is_none(&svcd);
}

/// Nobody but the kernel takes part in loading svcd.
fn assert_interpreter_is_none(svcd: &Svcd) {
    let head = fs::read(svcd.program()).unwrap();
    let head = &head[..4096];
    let names_loader = head
        .windows(8)
        .any(|bytes| bytes == b"/lib/ld-" || bytes == b"lib64/ld");
    assert!(!names_loader, "svcd has a loader");
}

/// CVE-2016-9962, CVE-2016-8649: what enters a service that runs holds descriptors of the machine's, there for the taking.
#[test]
fn what_enters_a_service_holds_nothing_of_the_machines() {
    let reload = "exec-reload = [\"/bin/sh\", \"-c\", \"ls -l /proc/self/fd; echo looked\"]\n";
    let svcd = Svcd::with(&[("web", &shell(&look("echo runs"), reload))]);
    said(&svcd, "web");
    svcd.ok(&["reload", "web"]);
    svcd.line("web", "looked");
    let lines = svcd.lines("web");
    let held: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.rsplit_once(' ')?.0.strip_suffix(" ->"))
        .collect();
    let numbers: Vec<&str> = held.iter().filter_map(|line| line.rsplit(' ').next()).collect();
    // One more is the directory that is looked at, where that is still open.
    assert!([3, 4].contains(&numbers.len()), "{lines:#?}");
    assert_eq!(numbers[..3], ["0", "1", "2"], "{lines:#?}");
    for line in lines.iter().filter(|line| line.contains(" -> ")) {
        let target = line.split(" -> ").nth(1).unwrap();
        let known = ["/dev/null", "pipe:", "/proc/"]
            .iter()
            .any(|known| target.starts_with(known));
        assert!(known, "{line}");
    }
}

/// CVE-2024-23651: whoever may write in a directory that a unit mounts from puts a link in it, to what is not theirs.
#[test]
fn links_of_others_lead_no_mount_to_what_is_not_theirs() {
    let test = "links_of_others_lead_no_mount_to_what_is_not_theirs";
    if !is_root() {
        return skip(test, "not root");
    }
    let plan = Plan::new();
    let (roots, theirs) = (folder(&plan, "roots"), folder(&plan, "theirs"));
    fs::write(roots.join("file"), "secret\n").unwrap();
    fs::create_dir(theirs.join("data")).unwrap();
    fs::write(theirs.join("data/file"), "their own\n").unwrap();
    symlink(&roots, theirs.join("out")).unwrap();
    symlink("data", theirs.join("in")).unwrap();
    symlink("theirs/out", plan.dir().join("by-way")).unwrap();
    for name in ["", "data", "data/file", "out", "in"] {
        lchown(theirs.join(name), Some(65534), None).unwrap();
    }
    let seen = folder(&plan, "seen").display().to_string();
    let mounts = |source: &Path| {
        let mount = format!("[[mount]]\ntarget = \"{seen}\"\nsource = \"{}\"\n", source.display());
        shell(&look(&format!("cat {seen}/file")), &mount)
    };
    let (out, inside, by_way) = (theirs.join("out"), theirs.join("in"), plan.dir().join("by-way"));
    let svcd = plan
        .unit("out", &mounts(&out))
        .unit("in", &mounts(&inside))
        .unit("by-way", &mounts(&by_way))
        .start();
    for unit in ["out", "by-way"] {
        let done = svcd.svc(&["start", unit]);
        assert!(
            done.code != 0 && done.err.contains("belongs to user 65534"),
            "{}",
            done.err
        );
        let status = svcd.status(unit);
        assert_eq!(
            (&status["failed-step"], &status["errno"]),
            (&format!("mount {seen}").into(), &"EPERM".into())
        );
    }
    svcd.ok(&["start", "in"]);
    svcd.line("in", "their own");
    // Once the link is root's, it leads on.
    lchown(&out, Some(0), None).unwrap();
    svcd.ok(&["start", "out"]);
    svcd.line("out", "secret");
}
