//! A set of unit files under which the machine loses its power is given up at the next boot.

use super::machine::PULL_THE_PLUG;
use super::roots::{FROM_DISK, from_disk};

/// One boot after the other: the first set is judged, another one is put in force, and what has become of that is told.
const SCRIPT: &str = r#"
state=/var/lib/svc/generations/state.json
until grep -q '"number":' $state; do sleep 0.1; done
if grep -q probe.judge /proc/cmdline; then
  until grep -q '"1":"good"' $state; do sleep 0.2; done
  echo '[deploy]' >/etc/svc/svcd.toml
  echo 'probation = "1h"' >>/etc/svc/svcd.toml
elif grep -q probe.edit /proc/cmdline; then
  sed -i 's/nice = 1/nice = 2/' /etc/svc/units/web.toml
  until grep -q '"number":2' $state; do sleep 0.1; done
  echo 'PROBE: edited'
  sleep 1000
fi
until file=$(grep -l '100000[0]' /proc/[0-9]*/cmdline); do sleep 0.1; done
echo "nice=$(awk '{ print $19 }' ${file%cmdline}stat)"
echo "number=$(grep -o '"number":[0-9]*' $state)"
echo "failed=$(grep -o '"failed":"[^"]*"' $state)"
"#;

const WEB: &str = r#"
[unit]
wanted-by = ["default"]
before = ["probe"]
[service]
exec-start = ["/bin/busybox", "sleep", "1000000"]
nice = 1
[isolation]
profile = "none"
"#;

#[test]
fn a_set_of_units_that_the_power_goes_under_gives_way() {
    let test = "a_set_of_units_that_the_power_goes_under_gives_way";
    let files = [
        ("/etc/svc/units/web.toml", WEB),
        ("/etc/svc/svcd.toml", "[deploy]\nprobation = \"2s\"\n"),
    ];
    let Some(mut machine) = from_disk(test, SCRIPT, &files) else {
        return;
    };
    machine.line = format!(" {FROM_DISK} probe.judge");
    machine.boot();
    machine.line = format!(" {FROM_DISK} probe.edit");
    machine.talk(&[("PROBE: edited", PULL_THE_PLUG)]);
    machine.line = format!(" {FROM_DISK}");
    for _ in 0..2 {
        let console = machine.boot();
        assert_eq!(console.value("nice"), "1");
        assert_eq!(console.value("number"), "\"number\":1");
        assert!(
            console.value("failed").contains("the machine went down"),
            "{}",
            console.0
        );
    }
}
