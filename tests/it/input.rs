//! `standard-input = "data"`: a unit holds what its commands read.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::harness::{Svcd, shell, until_there};
use super::machine::eventually;

const TEXT: &str = "first\nsecond\n";

/// More than a pipe takes at once, with every byte that there is.
fn bytes() -> Vec<u8> {
    (0..=255).cycle().take(200_000).collect()
}

fn keys() -> String {
    let data = STANDARD.encode(bytes());
    format!("standard-input-text = \"first\\nsecond\"\nstandard-input-data = \"\"\"\n{data}\n\"\"\"\n")
}

#[test]
fn each_command_reads_all_of_it_and_each_start_again() {
    let svcd = Svcd::with(&[]);
    let seen = svcd.dir().join("seen");
    let unit = format!(
        "[service]\ntype = \"oneshot\"\nexec-start-pre = [\"/bin/cat\"]\nexec-start = [\"/bin/cat\"]\n\
         standard-output = \"append:{}\"\n{}",
        seen.display(),
        keys()
    );
    svcd.write("reader", &unit);
    svcd.ok(&["apply"]);
    let once = [TEXT.as_bytes(), &bytes()].concat();
    for times in [2, 4] {
        svcd.ok(&["start", "reader"]);
        assert!(
            fs::read(&seen).unwrap() == once.repeat(times),
            "{times} times all of it"
        );
    }
}

#[test]
fn a_restart_begins_with_it_again_and_nobody_changes_it() {
    let svcd = Svcd::with(&[]);
    let at = |name: &str| svcd.dir().join(name).display().to_string();
    let (count, go, refused) = (at("count"), at("go"), at("refused"));
    // What is read in part is whole again, as is what somebody has tried to write.
    let script = format!(
        "read -r line; echo $line >>{count}; if ! echo spoilt >/proc/self/fd/0; then echo refused >>{refused}; fi\n\
         {}; wc -c >>{count}; exit 1",
        until_there(go.as_ref())
    );
    let more = format!("{}[restart]\npolicy = \"always\"\ndelay = \"10ms\"\n", keys());
    svcd.write("reader", &shell(&script, &more));
    svcd.ok(&["apply"]);
    svcd.ok(&["start", "reader"]);
    fs::write(&go, "").unwrap();
    eventually("it has begun three times", || {
        fs::read_to_string(&count).is_ok_and(|text| text.lines().count() >= 5)
    });
    svcd.ok(&["stop", "reader"]);
    let count = fs::read_to_string(&count).unwrap();
    let lines: Vec<&str> = count.lines().collect();
    assert_eq!([lines[0], lines[2], lines[4]], ["first"; 3]);
    assert_eq!(lines[1], lines[3], "the rest is the same each time");
    let rest = "second\n".len() + bytes().len();
    assert_eq!(lines[1].trim(), rest.to_string());
    assert!(fs::read_to_string(&refused).unwrap().lines().count() >= 2);
}

#[test]
fn it_is_shown_and_beside_another_input_refused() {
    let svcd = Svcd::with(&[]);
    svcd.write(
        "reader",
        "[service]\nexec-start = \"/bin/cat\"\nstandard-input-text = \"x\"\nstandard-input-data = \"AP8=\"\n",
    );
    svcd.ok(&["apply"]);
    let shown = svcd.ok(&["show", "reader"]);
    let words: Vec<String> = shown
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for part in ["\"data\"", "\"x\\n\"", "\"AP8=\""] {
        assert!(words.iter().any(|line| line.contains(part)), "{part}: {shown}");
    }
    svcd.write(
        "other",
        "[service]\nexec-start = \"/bin/cat\"\nstandard-input = \"null\"\nstandard-input-text = \"x\"\n",
    );
    let done = svcd.svc(&["check", &svcd.dir().join("units").display().to_string()]);
    assert_eq!(done.code, 1);
    let said = done.out + &done.err;
    assert!(
        said.contains("`standard-input-text` needs `standard-input = \"data\"`"),
        "{said}"
    );
}
