//! Power that goes at any moment: what svcd keeps on the disk is whole, or is not there.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use super::machine::{Bus, Machine};
use super::roots::{UUID, disk};

/// How often the power goes, each time at another moment.
const CUTS: u64 = 6;

/// By then a machine is up, even where this one is busy.
const LATEST: Duration = Duration::from_secs(8);

#[test]
fn row_40_power_cuts() {
    // It goes on for as long as the power does, so that a cut falls into work; told so, it says what is kept, and ends.
    let script = "until grep -q probe.ends /proc/cmdline; do sync; sleep 1; done\n\
        echo \"seed=$(stat -c '%a %s' /var/lib/svc/random-seed)\"\n\
        echo \"id=$(cat /etc/machine-id)\"\n\
        echo \"drafts=$(ls /etc /var/lib/svc | grep -c '\\.new$')\"";
    let Some(mut machine) = Machine::new("row_40_power_cuts", script) else {
        return;
    };
    machine.initramfs = None;
    let mut tree = disk(script);
    tree.directory("etc");
    let mut machine = machine.disk(&tree, Bus::Nvme, "root", UUID);
    let line = " root=/dev/nvme0n1 rw rootwait init=/usr/sbin/svcd";
    let mut id = None;
    for nth in 0..CUTS {
        machine.line = line.to_owned();
        let moment = Duration::from_millis(RandomState::new().build_hasher().finish() % LATEST.as_millis() as u64);
        eprintln!("cut {nth} after {moment:?}");
        machine.cut(moment);
        machine.line = format!("{line} probe.ends");
        let console = machine.boot();
        // A torn seed would be said.
        console.does_not_say("svcd: error");
        assert_eq!(console.value("seed"), "600 512");
        assert_eq!(console.value("drafts"), "0");
        // A torn one would be made anew.
        let found = console.value("id").to_owned();
        assert_eq!(found.len(), 32, "{found}");
        assert_eq!(*id.get_or_insert_with(|| found.clone()), found);
    }
}
