//! A word on each directive.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::convert::Made;
use super::rules::Fate;
use crate::cli::render::{Table, cell, harmless, number};

/// A table for each unit, and a line that counts.
///
/// # Errors
/// As write(2).
pub fn tell(to: &mut dyn Write, made: &[Made]) -> io::Result<()> {
    for one in made {
        if one.told.is_empty() {
            writeln!(to, "{}.toml: a target, since others name it\n", one.draft.name)?;
            continue;
        }
        writeln!(to, "{}.toml", one.draft.name)?;
        let mut table = Table::new(&["LINE", "DIRECTIVE", "", "HOW"]);
        for (directive, fate) in &one.told {
            let (word, how) = words(fate);
            table.row(vec![
                number(Some(directive.line)),
                cell(harmless(&format!("[{}] {}", directive.section, directive.name))),
                cell(word),
                cell(harmless(how)),
            ]);
        }
        table.print(to)?;
        let [kept, changed, lost] = counts(one);
        writeln!(to, "{kept} kept, {changed} changed, {lost} without a counterpart\n")?;
    }
    Ok(())
}

fn words(fate: &Fate) -> (&'static str, &str) {
    match fate {
        Fate::Kept => ("kept", ""),
        Fate::Changed(how) => ("changed", how),
        Fate::Lost(why) => ("no counterpart", why),
    }
}

fn counts(made: &Made) -> [usize; 3] {
    let mut counts = [0; 3];
    for (_, fate) in &made.told {
        let [kept, changed, lost] = &mut counts;
        match fate {
            Fate::Kept => *kept += 1,
            Fate::Changed(_) => *changed += 1,
            Fate::Lost(_) => *lost += 1,
        }
    }
    counts
}

/// The same for scripts.
pub fn json(made: &Made) -> Value {
    let directives = made.told.iter().map(|(directive, fate)| {
        let (word, how) = words(fate);
        json!({
            "file": directive.file.display().to_string(),
            "line": directive.line,
            "section": &*directive.section,
            "directive": directive.name,
            "value": directive.value,
            "fate": word,
            "how": how,
        })
    });
    json!({ "unit": made.draft.name, "text": made.draft.render(), "directives": directives.collect::<Vec<_>>() })
}
