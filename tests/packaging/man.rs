//! The manual pages have every key, verb, flag and setting, and groff has nothing to say against them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use clap::CommandFactory;
use svc::cli::arguments::Arguments;
use svc::supervisor::flags::FLAGS;
use svc::supervisor::settings::Settings;
use svc::unit::keys;

use super::skip;

#[path = "../../packaging/man/pages/mod.rs"]
pub mod pages;

/// A page as it reads once roff has taken its escapes out; what stands in bold is between backticks.
fn page(name: &str) -> String {
    let pages = pages::all();
    let (_, text) = pages.iter().find(|(its, _)| *its == name).expect("a page");
    let text = text.replace("\\-", "-").replace("\\fB", "`").replace("\\fR", "`");
    text.replace("\\*(Aq", "'").replace("\\(aq", "'").replace("\\&", "")
}

#[test]
fn every_key_stands_in_its_table() {
    let page = page("svc.unit.5");
    for row in keys::all() {
        let heading = format!(".SH [{}]\n", row.table);
        let (_, rest) = page.split_once(&heading).unwrap_or_else(|| panic!("no {heading}"));
        let section = rest.split("\n.SH ").next().unwrap_or(rest);
        let item = format!(".TP\n`{}` = {}", row.name, row.kind.form());
        assert!(section.contains(&item), "{heading}{item}\n{section}");
        assert!(section.contains(first_words(row.doc)), "[{}] {}", row.table, row.name);
    }
}

/// As far as the first thing that roff or we would write otherwise.
fn first_words(doc: &str) -> &str {
    doc.split(['`', '\\', '-', '\'']).next().unwrap_or(doc)
}

#[test]
fn every_verb_and_flag_stands_in_svc_1() {
    let page = page("svc.1");
    let mut command = Arguments::command();
    command.build();
    let mut open: Vec<&clap::Command> = command
        .get_subcommands()
        .filter(|verb| verb.get_name() != "help" && !verb.is_hide_set())
        .collect();
    assert!(open.len() > 15, "the verbs of the contract");
    while let Some(verb) = open.pop() {
        let usage = verb.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ");
        let (_, section) = page.split_once(usage).unwrap_or_else(|| panic!("no {usage}"));
        let section = section.split("\n.SS ").next().unwrap_or(section);
        for argument in verb
            .get_arguments()
            .filter(|argument| argument.get_id() != "help" && !argument.is_global_set())
        {
            let term = match argument.get_long() {
                Some(long) => format!("--{long}"),
                None => argument.get_value_names().expect("a name")[0].to_string(),
            };
            assert!(section.contains(&term), "{usage}: {term}\n{section}");
        }
        open.extend(verb.get_subcommands().filter(|way| way.get_name() != "help"));
    }
    for global in ["--socket PATH", "--json", "--no-color", "-V, --version"] {
        assert!(page.contains(&format!(".TP\n`{global}`")), "{global}");
    }
}

#[test]
fn every_flag_and_setting_stands_in_svcd_8() {
    let page = page("svcd.8");
    for flag in FLAGS {
        let term = format!("{} {}", flag.name, flag.value);
        assert!(page.contains(&format!(".TP\n`{}`", term.trim())), "{term}");
    }
    let top = fields_of("");
    for table in &top {
        let fields = fields_of(table);
        let keys = if fields.is_empty() {
            vec![table.clone()]
        } else {
            fields.iter().map(|key| format!("[{table}] {key}")).collect()
        };
        for key in keys {
            assert!(page.contains(&format!(".TP\n`{key}")), "{key}");
        }
    }
    assert!(top.len() >= 3, "{top:?}");
}

/// The keys that a table of the settings takes, as the reader itself lists them to who writes an unknown one.
fn fields_of(table: &str) -> BTreeSet<String> {
    let text = if table.is_empty() {
        "no-such-key = 1".to_owned()
    } else {
        format!("{table} = {{ no-such-key = 1 }}")
    };
    let error = toml::from_str::<Settings>(&text).expect_err("an unknown key is refused");
    let Some((_, listed)) = error.message().split_once("expected ") else {
        return BTreeSet::new();
    };
    if !error.message().contains("unknown field") {
        return BTreeSet::new();
    }
    let words = listed.split('`').enumerate().filter(|(nth, _)| nth % 2 == 1);
    words.map(|(_, word)| word.to_owned()).collect()
}

#[test]
fn groff_has_no_complaint() {
    if Command::new("groff").arg("--version").output().is_err() {
        return skip("man::groff_has_no_complaint", "groff is not installed");
    }
    let folder = tempfile::tempdir().expect("a directory");
    for (name, text) in pages::all() {
        let file = folder.path().join(name);
        fs::write(&file, text).expect("write");
        let done = Command::new("groff")
            .args(["-man", "-ww", "-z", "-Tutf8"])
            .arg(&file)
            .output()
            .expect("groff");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && said.is_empty(), "{name}: {said}");
    }
}
