//! What `[boot]` of svcd.toml and the kernel's command line make of a machine.

use super::machine::Machine;

#[test]
fn boot_settings_are_made_so() {
    let test = "boot_settings_are_made_so";
    let script = r#"
echo "name=$(hostname)"
echo "forward=$(cat /proc/sys/net/ipv4/ip_forward)"
echo "lo=$(ifconfig lo | grep -o '127.0.0.1\|RUNNING' | tr '\n' ' ')"
echo "id=$(cat /etc/machine-id)"
echo "zone=$(readlink /etc/localtime) $(date -d @0 +%H:%M)"
echo "seed=$(stat -c '%a %s' /var/lib/svc/random-seed)"
echo "dummies=$(ls -d /sys/class/net/dummy* | wc -l)"
"#;
    let Some(machine) = Machine::new(test, script) else {
        return;
    };
    let mut machine = machine.modules(&["dummy"]);
    let settings = r#"
[boot]
modules = ["dummy numdummies=3", "ext4", "nonesuch"]
hostname = "edge-7"
sysctl = { "net.ipv4.ip_forward" = 1, "kernel.nonesuch" = "x" }
timezone = "Test/Zone"
"#;
    machine.tree().file("/etc/svc/svcd.toml", settings);
    // A zone file of version 1 with no transition and one type: five hours east, TZT. tzfile(5).
    let zone = [
        &b"TZif"[..],
        &[0; 16],
        &[0; 12],
        &[0; 4],
        &[0, 0, 0, 1],
        &[0, 0, 0, 4],
        &[0, 0, 0x46, 0x50, 0, 0],
        b"TZT\0",
    ];
    machine.tree().file("/usr/share/zoneinfo/Test/Zone", zone.concat());
    let console = machine.boot();
    assert_eq!(console.value("name"), "edge-7");
    assert_eq!(console.value("forward"), "1");
    assert_eq!(console.value("lo"), "127.0.0.1 RUNNING ");
    assert_eq!(console.value("dummies"), "3");
    assert_eq!(console.value("seed"), "600 512");
    assert_eq!(console.value("id").len(), 32);
    assert_eq!(console.value("zone"), "/usr/share/zoneinfo/Test/Zone 05:00");
    console.says("svcd: error: module nonesuch: no such module in /lib/modules/");
    console.says("svcd: error: sysctl kernel.nonesuch = x: No such file or directory");
    assert_eq!(console.0.matches("svcd: error").count(), 2, "{}", console.0);
}

/// Debian's kernel cannot unpack modules; one that says so is better than one that is not there.
#[test]
fn a_packed_module_is_loaded_or_said() {
    let test = "a_packed_module_is_loaded_or_said";
    let script = "echo kernel=$(cat /sys/module/compression); echo dummies=$(ls -d /sys/class/net/dummy* | wc -l)";
    let Some(machine) = Machine::new(test, script) else {
        return;
    };
    let mut machine = machine.modules(&["dummy"]);
    machine.tree().pack_modules();
    machine
        .tree()
        .file("/etc/svc/svcd.toml", "[boot]\nmodules = [\"dummy numdummies=1\"]\n");
    let console = machine.boot();
    if console.value("kernel") == "gzip" {
        assert_eq!(console.value("dummies"), "1");
    } else {
        console.says("dummy.ko.gz: this kernel does not unpack modules of this form");
    }
}

#[test]
fn wrong_settings_are_said_and_the_machine_comes_up() {
    let test = "wrong_settings_are_said_and_the_machine_comes_up";
    let Some(mut machine) = Machine::new(test, "echo name=$(hostname)") else {
        return;
    };
    machine
        .tree()
        .file("/etc/svc/svcd.toml", "[boot]\nhostname = \"edge-7\"\nhost = 7\n");
    machine.tree().file("/etc/hostname", "of-the-file\n");
    let console = machine.boot();
    console.says("svcd: error: /etc/svc/svcd.toml:3: unknown field `host`");
    assert_eq!(console.value("name"), "of-the-file");
}

#[test]
fn the_command_line_chooses_target_and_cgroups() {
    let test = "the_command_line_chooses_target_and_cgroups";
    let script = r#"
echo "known=$(awk '$4 == 1 { print $1 }' /proc/cgroups | sort | tr '\n' ' ')"
echo "mounted=$(awk '$3 == "cgroup" { print $4 }' /proc/mounts | tr ',' '\n' | sort | uniq | grep -v '^rw$\|^no\|^relatime$' | tr '\n' ' ')"
echo "links=$(readlink /sys/fs/cgroup/cpu) $(readlink /sys/fs/cgroup/net_prio)"
"#;
    let Some(mut machine) = Machine::new(test, "echo the default was not to be started") else {
        return;
    };
    let unit = r#"
[unit]
wanted-by = ["rescue"]
[service]
type = "oneshot"
exec-start = ["/bin/sh", "/rescue"]
standard-output = "inherit"
[isolation]
profile = "none"
"#;
    machine.tree().file("/usr/lib/svc/units/shell.toml", unit);
    machine.tree().file("/usr/lib/svc/units/rescue.toml", "[target]\n");
    machine
        .tree()
        .file("/rescue", format!("{script}\necho 'PROBE: end'\npoweroff -f\n"));
    let console = machine.line("svc.target=rescue svc.cgroup=v1").boot();
    console.does_not_say("the default was not to be started");
    assert_eq!(console.value("mounted"), console.value("known"));
    assert_eq!(console.value("links"), "cpu,cpuacct net_cls,net_prio");
}
