//! What others leave behind is process 1's to bury.

use super::machine::Machine;

/// How many processes lose their parent.
const ORPHANS: u64 = 10_000;

#[test]
fn row_09_ten_thousand_orphans_are_reaped_and_nothing_is_left() {
    let test = "row_09_ten_thousand_orphans_are_reaped_and_nothing_is_left";
    // Each batch ends without a look at its children. Kernel threads, which come and go, have no program.
    let script = "
        tell() {
            echo $1-programs=$(ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c -e '->')
            echo $1-zombies=$(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l)
            echo $1-descriptors=$(ls /proc/1/fd | wc -l)
            echo $1-kib=$(awk '/^VmRSS/ { print $2 }' /proc/1/status)
            echo $1-forks=$(awk '/^processes/ { print $2 }' /proc/stat)
        }
        tell before
        batch() { n=0; while [ $n -lt 100 ]; do : & n=$((n + 1)); done; }
        b=0; while [ $b -lt BATCHES ]; do (batch); b=$((b + 1)); done
        until ! grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do sleep 0.1; done
        tell after";
    let script = script.replace("BATCHES", &(ORPHANS / 100).to_string());
    let Some(machine) = Machine::new(test, &script) else {
        return;
    };
    let console = machine.boot();
    let number = |key: &str| -> u64 { console.value(key).parse().expect("a number") };
    let grown = |what: &str| number(&format!("after-{what}")).saturating_sub(number(&format!("before-{what}")));
    assert!(grown("forks") >= ORPHANS, "{}", console.0);
    assert_eq!(number("after-zombies"), 0);
    assert_eq!(grown("programs"), 0, "{}", console.0);
    assert_eq!(grown("descriptors"), 0, "{}", console.0);
    assert!(grown("kib") <= 1024, "{}", console.0);
}
