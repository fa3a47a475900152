//! The first process of a machine is executed anew, crashes and has its clock set, and nobody notices.

use super::machine::{Machine, stripped};

/// A service that says which process it is.
const WEB: &str = r#"
[unit]
wanted-by = ["default"]
[service]
exec-start = ["/bin/sh", "-c", "echo $$$$ >/run/web; exec sleep 1000000"]
[restart]
delay = "10ms"
[isolation]
profile = "none"
"#;

/// For scripts of the probe.
const FUNCTIONS: &str = r#"
svc() { /bin/svc "$@"; }
until_true() {
    for nth in $(seq 300); do eval "$1" && return; sleep 0.1; done
    echo "never: $1: $(svc list --all 2>&1)"; poweroff -f
}
state() { svc status $1 --json | grep -o '"state": *"[a-z]*"' | head -n 1 | cut -d'"' -f4; }
note() { tr '\0' '\n' </proc/1/environ | sed -n 's/^SVC_RESUME=\([a-z]*\).*/\1/p'; }
web() { cat /run/web; }
alive() { grep -q '^State:.[^Z]' /proc/$1/status 2>/dev/null; }
"#;

#[test]
fn row_35_process_one_outlives_its_faults() {
    let script = format!(
        r#"{FUNCTIONS}
until_true '[ -s /run/web ]'; first=$(web)
same() {{ alive $first && [ $(web) = $first ] && echo same; }}
kill -59 1; until_true '[ "$(note)" = asked ]'
until_true 'svc status web >/dev/null'; echo "asked=$(same)"
kill -SEGV 1; until_true '[ "$(note)" = crashed ]'
until_true 'svc status web >/dev/null'; echo "crashed=$(same)"
kill -9 $first; until_true '[ $(web) != $first ]'; first=$(web); echo "restarted=yes"
until_true '[ "$(state web)" = running ]'
kill -ABRT 1; until_true 'svc status web >/dev/null'; echo "again=$(same)"
kill -SEGV 1; until_true '[ "$(note)" = reaper ]'; echo "reaper=$(same)"
kill -9 $first; until_true '! [ -e /proc/$first ]'; echo "reaped=yes"
kill -HUP 1; until_true '[ $(web) != $first ]'; echo "mended=$(note)"
"#
    );
    let Some(mut machine) = Machine::new("row_35_process_one_outlives_its_faults", &script) else {
        return;
    };
    machine.tree().program("/bin/svc", stripped(SVC));
    machine.tree().file("/usr/lib/svc/units/web.toml", WEB);
    let console = machine.boot();
    for key in ["asked", "crashed", "again", "reaper"] {
        assert_eq!(console.value(key), "same", "{key}\n{}", console.0);
    }
    assert_eq!(console.value("mended"), "crashed");
    console.says("the third crash within a minute");
}

#[test]
fn row_07_wall_clock_jumps() {
    // In seconds since boot, which no clock changes: when each began, and when it was over.
    let script = format!(
        r#"{FUNCTIONS}
up() {{ cut -d. -f1 /proc/uptime; }}
jump() {{ date -s @$(( $(date +%s) + $1 )) >/dev/null; }}
svc start deaf; svc start --no-wait slow; svc start --no-wait flaky; svc stop --no-wait deaf
begun=$(up)
until_true '[ "$(state deaf) $(state slow) $(state flaky)" = "stopping starting backoff" ]'
jump 315360000; sleep 1; jump -630720000; sleep 1; jump 315360000
until_true '[ "$(state deaf)" != stopping ]'; echo "stop=$(( $(up) - begun ))"
until_true '[ "$(state slow)" != starting ]'; echo "start=$(( $(up) - begun ))"
until_true '[ $(wc -l </run/flaky) -gt 1 ]'; echo "backoff=$(( $(up) - begun ))"
"#
    );
    let Some(mut machine) = Machine::new("row_07_wall_clock_jumps", &script) else {
        return;
    };
    machine.tree().program("/bin/svc", stripped(SVC));
    let plain = "[isolation]\nprofile = \"none\"\n";
    let once = "[restart]\npolicy = \"no\"\n";
    let command = |script: &str| format!("[service]\nexec-start = [\"/bin/sh\", \"-c\", \"{script}\"]\n");
    let deaf = command("trap '' TERM; while :; do sleep 1; done");
    let slow = format!(
        "{}exec-start-pre = [\"/bin/sleep\", \"1000\"]\ntimeout-start = \"20s\"\n",
        command("exec sleep 1000")
    );
    let flaky = command("echo start >>/run/flaky; exit 1");
    let units = [
        ("deaf", format!("{deaf}timeout-stop = \"20s\"\n{once}{plain}")),
        ("slow", format!("{slow}{once}{plain}")),
        (
            "flaky",
            format!("{flaky}[restart]\ndelay = \"20s\"\nmax-delay = \"20s\"\n{plain}"),
        ),
    ];
    for (name, text) in units {
        machine.tree().file(&format!("/usr/lib/svc/units/{name}.toml"), text);
    }
    machine.tree().link("/bin/sleep", "busybox");
    let console = machine.boot();
    for key in ["stop", "start", "backoff"] {
        let took: u64 = console.value(key).parse().unwrap();
        // Up to a quarter of a delay is jitter, and the machine has been up to a few seconds at it before it looks.
        assert!((13..60).contains(&took), "{key} after {took} s\n{}", console.0);
    }
}

const SVC: &str = env!("CARGO_BIN_EXE_svc");
