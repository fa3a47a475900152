//! Power that goes at any moment: what svcd keeps on the disk is whole, or is not there.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use super::machine::{Bus, Machine, stripped};
use super::roots::{UUID, disk, two_roots};
use layout::Tar;

#[allow(dead_code, reason = "the tests of images use the rest")]
#[path = "../it/images/layout.rs"]
mod layout;

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

/// A machine that takes an image in and removes it, over and over, until the power goes; told so, it says what is there.
const STORE: &str = r#"
store=/var/lib/svc/images
image() { /usr/bin/svc image --state-dir /var/lib/svc "$@"; }
if ! grep -q probe.ends /proc/cmdline; then
  echo WORKS
  while :; do image load -i /layout >/dev/null; image rm web:1 >/dev/null; done
fi
halves() {
  for blob in $store/blobs/sha256/*; do
    [ ! -e $blob ] || [ "$(sha256sum <$blob | cut -c1-64)" = ${blob##*/} ] || echo "torn blob"
  done
  for layer in $store/layers/*; do
    [ ! -e $layer ] || [ "$(cat $layer/d*/f* | wc -c)" = 600000 ] || echo "half a layer"
  done
}
echo "names=$(image list --json | grep -o web:1)"
echo "under-way=$(ls $store/ingest | wc -l)"
halves
image load -i /layout
echo "load=$?"
halves
image gc >/dev/null
echo "gc=$? $(ls $store/ingest | wc -l)"
image inspect web:1 | grep -q LowerDir
echo "whole=$?"
image rm web:1
echo "left=$(ls -A $store/blobs/sha256 | wc -l) $(ls -A $store/layers | wc -l)"
"#;

/// Blobs and a layer come and go over and over, so that a cut falls into one step or another of that.
#[test]
fn row_40_the_image_store_after_power_cuts() {
    // As much as this is read and written, the NVMe disk of qemu 7.2 loses an interrupt now and then: then both wait for ever.
    let Some(machine) = two_roots("row_40_the_image_store_after_power_cuts", STORE) else {
        return;
    };
    let mut tree = disk(STORE);
    tree.directory("etc");
    tree.program("/usr/bin/svc", stripped(env!("CARGO_BIN_EXE_svc")));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("make a directory");
    let directories = (0..4).fold(Tar::default(), |tar, nth| tar.directory(&format!("d{nth}")));
    let tar = (0..60).fold(directories, |tar, nth| {
        tar.file(&format!("d{}/f{nth}", nth % 4), &"text in it".repeat(1000))
    });
    let tar = tar.end();
    layout::write(&folder.path().join("layout"), "web:1", &tar, &tar);
    tree.copy(folder.path());
    let mut machine = machine.disk(&tree, Bus::Virtio, "a root", UUID);
    let line = " root=/dev/vda rw";
    for nth in 0..CUTS {
        machine.line = line.to_owned();
        let moment = Duration::from_millis(RandomState::new().build_hasher().finish() % LATEST.as_millis() as u64);
        eprintln!("cut {nth} after {moment:?}");
        machine.cut_behind("WORKS", moment);
        machine.line = format!("{line} probe.ends");
        let console = machine.boot();
        eprintln!(
            "names {}, under way {}",
            console.value("names"),
            console.value("under-way")
        );
        console.does_not_say("torn blob");
        console.does_not_say("half a layer");
        assert_eq!(
            (console.value("load"), console.value("gc")),
            ("0", "0 0"),
            "{}",
            console.0
        );
        assert_eq!(
            (console.value("whole"), console.value("left")),
            ("0", "0 0"),
            "{}",
            console.0
        );
    }
}
