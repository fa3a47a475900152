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

/// A machine that is stopped in the middle of a large blob, and then has no power; told so, it says what is there.
const HALF: &str = r#"
store=/var/lib/svc/images
image() { /usr/bin/svc image --state-dir /var/lib/svc "$@"; }
half() {
  for part in $store/ingest/*.part; do
    size=$(stat -c %s $part 2>/dev/null)
    [ "${size:-0}" -lt 100000 ] || [ "$size" -ge 4000000 ] || return 0
  done
  return 1
}
if ! grep -q probe.ends /proc/cmdline; then
  while :; do
    /usr/bin/svc image --state-dir /var/lib/svc load -i /layout >/dev/null &
    load=$!
    while kill -0 $load 2>/dev/null; do
      half || continue
      kill -STOP $load
      # It may have gone on until then.
      if half; then
        echo $size >$store/../half
        grep -q probe.loses /proc/cmdline || sync
        echo "HALF WAY"
        sleep 1000000
      fi
      kill -CONT $load
    done
    wait
    image rm web:1 >/dev/null
  done
fi
echo "was=$(cat $store/../half)"
echo "is=$(stat -c %s $store/ingest/*.part)"
echo "names=$(image list --json | grep -c web:1)"
for blob in $store/blobs/sha256/*; do
  [ ! -e $blob ] || [ "$(sha256sum <$blob | cut -c1-64)" = ${blob##*/} ] || echo "torn blob"
done
echo "layers=$(ls -A $store/layers | wc -l)"
image load -i /layout
echo "load=$? $(ls $store/ingest | wc -l)"
echo "bytes=$(cat $store/layers/*/d*/f* | sha256sum | cut -c1-64) $(cat $store/layers/*/d*/f* | wc -c)"
image rm web:1
rm $store/../half
sync
"#;

/// The power goes while half a blob is written, on the disk or not: it is gone on with, or taken in again, and nothing takes
/// it for the whole.
#[test]
fn row_40_a_cut_while_a_blob_is_half_ingested() {
    let Some(machine) = two_roots("row_40_a_cut_while_a_blob_is_half_ingested", HALF) else {
        return;
    };
    let mut tree = disk(HALF);
    tree.directory("etc");
    tree.program("/usr/bin/svc", stripped(env!("CARGO_BIN_EXE_svc")));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("make a directory");
    let file = |nth: u32| nth.to_string().repeat(1_000_000);
    let tar = (0..4).fold(Tar::default().directory("d"), |tar, nth| {
        tar.file(&format!("d/f{nth}"), &file(nth))
    });
    let tar = tar.end();
    layout::write(&folder.path().join("layout"), "web:1", &tar, &tar);
    tree.copy(folder.path());
    let mut machine = machine.disk(&tree, Bus::Virtio, "a root", UUID);
    let mut bytes = None;
    for loses in ["", " probe.loses"] {
        machine.line = format!(" root=/dev/vda rw{loses}");
        machine.cut_behind("HALF WAY", Duration::ZERO);
        machine.line = " root=/dev/vda rw probe.ends".to_owned();
        let console = machine.boot();
        if loses.is_empty() {
            assert_eq!(console.value("is"), console.value("was"), "{}", console.0);
        }
        assert_eq!(
            (console.value("names"), console.value("layers")),
            ("0", "0"),
            "{}",
            console.0
        );
        console.does_not_say("torn blob");
        assert_eq!(console.value("load"), "0 0", "{}", console.0);
        let found = console.value("bytes").to_owned();
        assert!(found.ends_with(" 4000000"), "{found}");
        assert_eq!(*bytes.get_or_insert_with(|| found.clone()), found);
    }
}
