//! The always-on probes: what nobody may do in a sandbox is tried there, each by its system call, and every answer is
//! looked at. The same script without a sandbox shows that it can tell.

use std::collections::BTreeMap;

use super::harness::{Plan, Svcd, shell};
use super::machine::{is_root, program, skip};

/// Calls by number on x86-64, with arguments that would harm nothing if they were let through.
const HARMLESS: &str = r#"
probe('socket-raw', 41, 2, 3, 1); probe('socket-raw6', 41, 10, 3, 58); probe('socket-packet', 41, 17, 3, 0);
probe('mknod-char', 133, "$dir/c", 020666, 0x103); probe('mknodat-block', 259, -100, "$dir/b", 060666, 0x700);
probe('keyctl', 250, 0, -3, 1); probe('add_key', 248, 'user', 'svc-it', 'x', 1, -2);
probe('chmod-suid', 90, $dir, 04755); probe('personality', 135, 0x40000); probe('setscheduler', 144, 0, 1, pack('i', 1));
probe('clone-user', 56, 0x10000011, 0, 0, 0, 0);
probe('unshare-mnt', 272, 0x20000); probe('unshare-uts', 272, 0x4000000); probe('unshare-ipc', 272, 0x8000000);
probe('unshare-net', 272, 0x40000000); probe('unshare-cgroup', 272, 0x2000000); probe('unshare-pid', 272, 0x20000000);
probe('unshare-time', 272, 0x80); probe('unshare-user', 272, 0x10000000);
"#;

/// What must not be let through on a machine that others use.
const HARMFUL: &str = r#"
probe('mount', 165, 'none', '/tmp', 'tmpfs', 0, 0); probe('umount2', 166, '/tmp', 2);
probe('pivot_root', 155, '/tmp', '/tmp'); probe('fsopen', 430, 'tmpfs', 0); probe('open_tree', 428, -100, '/tmp', 1);
probe('move_mount', 429, -1, '', -1, '', 0); probe('mount_setattr', 442, -100, '/tmp', 0, 0, 0);
probe('setns', 308, -1, 0); probe('bpf', 321, 0, 0, 0); probe('ptrace-init', 101, 16, 1, 0, 0);
probe('open_by_handle_at', 304, -100, 0, 0); probe('reboot', 169, 0, 0, 0, 0);
probe('kexec_load', 246, 0, 0, 0, 0x7fff0000); probe('kexec_file_load', 320, -1, -1, 0, 0, 0);
probe('io_uring_setup', 425, 1, 0); probe('perf_event_open', 298, 0, 0, 0, 0, 0); probe('userfaultfd', 323, 0);
probe('init_module', 175, 0, 0, ''); probe('swapon', 167, '', 0); probe('settimeofday', 164, 0, 0);
probe('iopl', 172, 3); probe('syslog', 103, 3, 0, 0); probe('quotactl', 179, 0, 0, 0, 0); probe('acct', 163, '/nowhere');
probe('sethostname', 170, 'x', 1); probe('request_key', 249, 'user', 'svc-it', 0, 0); probe('tiocsti', 16, 0, 0x5412, 'x');
probe('clone3', 435, 0, 0); probe('openat2', 437, -100, '/tmp', 0, 0);
"#;

/// Files that may be there, and that nobody may write to.
const FILES: &str = r#"
for my $file (qw(/dev/mem /dev/kmem /dev/port /dev/kmsg /dev/sda /dev/vda /dev/loop0 /sys/kernel/uevent_helper
    /sys/kernel/profiling /sys/kernel/mm/transparent_hugepage/enabled /sys/kernel/rcu_normal /sys/power/state
    /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/vm/drop_caches /proc/sysrq-trigger /proc/irq/default_smp_affinity)) {
    $! = 0;
    print "file$file ", (sysopen(my $open, $file, 1) ? 0 : $! + 0), "\n";
}
"#;

/// Writes `NAME ERRNO` for each probe; 0 is a success.
fn script(dir: &str, probes: &str) -> String {
    format!(
        r#"$| = 1; my $dir = '{dir}';
sub probe {{
    my ($name, @call) = @_;
    $! = 0;
    my $result = syscall(shift @call, @call);
    syscall(231, 0) if $name eq 'clone-user' && $result == 0;
    print "$name ", ($result == -1 ? $! + 0 : 0), "\n";
}}
{probes}
print "done\n"; sleep 1000000;
"#
    )
}

/// What each probe of a unit was answered.
fn answers(svcd: &Svcd, unit: &str) -> BTreeMap<String, i32> {
    svcd.line(unit, "done");
    let lines = svcd.lines(unit);
    let pair = |line: &String| {
        let (name, errno) = line.rsplit_once(' ')?;
        Some((name.to_owned(), errno.parse().ok()?))
    };
    lines.iter().filter_map(pair).collect()
}

fn unit(script: &std::path::Path, keys: &str) -> String {
    shell(&format!("exec perl {}", script.display()), keys)
}

#[test]
fn always_on_probes_are_denied() {
    if !is_root() || program("perl").is_none() || cfg!(not(target_arch = "x86_64")) {
        return skip("always_on_probes_are_denied", "not root, no perl(1), or not x86-64");
    }
    let plan = Plan::new();
    let (inside, outside) = (plan.dir().join("inside.pl"), plan.dir().join("outside.pl"));
    let dir = plan.dir().display().to_string();
    std::fs::write(&inside, script(&dir, &format!("{HARMLESS}{HARMFUL}{FILES}"))).unwrap();
    std::fs::write(&outside, script(&dir, HARMLESS)).unwrap();
    let all = "[isolation]\ncapabilities = [\"all\"]\n";
    let svcd = plan
        .unit("standard", &unit(&inside, ""))
        .unit("nobody", &unit(&inside, "user = \"nobody\"\n"))
        .unit("naive", &unit(&outside, "[isolation]\nprofile = \"none\"\n"))
        .unit("all", &unit(&outside, all))
        .start();
    svcd.ok(&["start", "naive", "standard", "nobody", "all"]);
    const EPERM: i32 = 1;
    const ENOSYS: i32 = 38;
    let naive = answers(&svcd, "naive");
    assert!(naive.len() > 15, "{naive:?}");
    for (name, errno) in &naive {
        assert!(
            ![EPERM, ENOSYS].contains(errno),
            "without a sandbox, {name} is {errno}: the probe tells nothing"
        );
    }
    for name in ["standard", "nobody"] {
        let answers = answers(&svcd, name);
        assert!(answers.len() > 60, "{answers:?}");
        for (probe, errno) in &answers {
            match (probe.as_str(), probe.starts_with("file/")) {
                ("clone3" | "openat2", _) => assert_eq!(*errno, ENOSYS, "{name}: {probe}"),
                (_, true) => assert_ne!(*errno, 0, "{name}: {probe} can be written to"),
                _ => assert_eq!(*errno, EPERM, "{name}: {probe}"),
            }
        }
    }
    // With all capabilities the filter alone stands in the way, and it does.
    let answers = answers(&svcd, "all");
    for probe in [
        "unshare-user",
        "clone-user",
        "unshare-net",
        "socket-raw",
        "socket-packet",
        "mknod-char",
        "keyctl",
        "chmod-suid",
    ] {
        assert_eq!(answers[probe], EPERM, "{probe}");
    }
}
