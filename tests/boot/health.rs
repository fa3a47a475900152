//! A machine that is there for one unit starts again where that is not well.

use super::roots::{FROM_DISK, from_disk};

/// It waits for the machine's end; at the next boot it tells why that came.
const SCRIPT: &str = r#"
grep -q probe.well /proc/cmdline || sleep 1000000
echo "why=$(grep -o '"kind":"unit","text":"the bad health of [^"]*"' /var/lib/svc/history | head -n 1)"
"#;

const WEB: &str = r#"
[unit]
wanted-by = ["default"]
[service]
exec-start = ["/bin/busybox", "sleep", "1000000"]
[health]
exec = ["/bin/busybox", "grep", "-q", "probe.well", "/proc/cmdline"]
interval = "200ms"
retries = 2
on-unhealthy = "reboot"
[isolation]
profile = "none"
"#;

#[test]
fn a_unit_that_is_not_well_has_the_machine_start_again() {
    let test = "a_unit_that_is_not_well_has_the_machine_start_again";
    let Some(mut machine) = from_disk(test, SCRIPT, &[("/etc/svc/units/web.toml", WEB)]) else {
        return;
    };
    machine.line = format!(" {FROM_DISK}");
    // qemu ends where the machine would start again.
    let console = machine.run();
    assert!(console.has("web: unhealthy: 2 probes in a row failed"), "{}", console.0);
    machine.line = format!(" {FROM_DISK} probe.well");
    let console = machine.boot();
    assert!(console.value("why").contains("the bad health of web"), "{}", console.0);
}
