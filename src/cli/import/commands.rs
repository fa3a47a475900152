//! Directives of `[Service]` that are more than a value: commands, types, restarts.

use serde_json::{Value, json};

use super::draft::Draft;
use super::rules::Fate;
use super::syntax::words;
use super::values::{self, Made};

/// A command line, or several with a `;` between them, as lists of words with their prefixes.
///
/// # Errors
/// A quote that is not closed, a prefix without a program.
pub fn command_lines(text: &str) -> Result<Vec<Value>, String> {
    let mut lines: Vec<Vec<String>> = vec![Vec::new()];
    for word in words(text)? {
        match word.as_str() {
            ";" => lines.push(Vec::new()),
            r"\;" => lines.last_mut().into_iter().for_each(|line| line.push(";".to_owned())),
            _ => lines.last_mut().into_iter().for_each(|line| line.push(word.clone())),
        }
    }
    let lines = lines.into_iter().filter(|line| !line.is_empty());
    lines.map(|line| command(line).map(Value::from)).collect()
}

/// Prefixes are svc's too, but `:`, without which nothing is expanded, and `!!`, which is `!` on kernels of today.
fn command(mut line: Vec<String>) -> Result<Vec<String>, String> {
    let Some(first) = line.first_mut() else { return Ok(line) };
    let program = first.trim_start_matches(['-', '@', ':', '+', '!']);
    if program.is_empty() {
        return Err(format!("`{first}` is no program"));
    }
    let prefixes = first.get(..first.len() - program.len()).unwrap_or_default();
    let is_literal = prefixes.contains(':');
    *first = format!("{}{program}", prefixes.replace(':', "").replace("!!", "!"));
    if is_literal {
        line.iter_mut().skip(1).for_each(|word| *word = word.replace('$', "$$"));
    }
    Ok(line)
}

/// What a key of commands is: one, or a list of them.
pub fn shown(commands: Vec<Value>) -> Value {
    match <[Value; 1]>::try_from(commands) {
        Ok([one]) => one,
        Err(several) => several.into(),
    }
}

pub fn service_type(draft: &mut Draft, value: &str) -> Fate {
    let (word, fate) = match value {
        "exec" | "notify" | "notify-reload" | "oneshot" | "forking" => (value, Fate::Kept),
        "simple" => (
            "exec",
            Fate::Changed("exec: it counts as ready when its program has been executed".to_owned()),
        ),
        "idle" => (
            "exec",
            Fate::Changed("exec: nothing waits for the console to be quiet".to_owned()),
        ),
        "dbus" => (
            "exec",
            Fate::Changed("exec: svcd does not wait for a name on a bus".to_owned()),
        ),
        _ => return Fate::Lost("svc has no such type".to_owned()),
    };
    draft.set("service", "type", word);
    fate
}

pub fn restart(draft: &mut Draft, value: &str) -> Fate {
    let (word, fate) = match value {
        "on-abort" => (
            "on-abnormal",
            Fate::Changed("on-abnormal: after timeouts too".to_owned()),
        ),
        "no" | "on-success" | "on-failure" | "on-abnormal" | "on-watchdog" | "always" => (value, Fate::Kept),
        _ => return Fate::Lost("svc has no such policy".to_owned()),
    };
    draft.set("restart", "policy", word);
    fate
}

/// systemd's stays the same, so that ours does.
pub fn restart_delay(draft: &mut Draft, value: &str) -> Fate {
    set(draft, "restart", "delay", values::duration(value))
}

/// `starts` or `within`, of which [`super::finish`] makes `give-up`.
pub fn start_limit(draft: &mut Draft, which: &'static str, value: &str) -> Fate {
    let made = match which {
        "starts" => value
            .parse::<u32>()
            .map(Value::from)
            .map_err(|_| "it is no number".to_owned()),
        _ => values::duration(value),
    };
    match made {
        Ok(value) => {
            draft.insert("restart", "give-up", which, value);
            Fate::Kept
        }
        Err(why) => Fate::Lost(why),
    }
}

pub fn timeout(draft: &mut Draft, value: &str) -> Fate {
    match set(draft, "service", "timeout-start", values::limit(value)) {
        Fate::Kept => set(draft, "service", "timeout-stop", values::limit(value)),
        lost @ (Fate::Changed(_) | Fate::Lost(_)) => lost,
    }
}

/// Of a path without a slash the beginning is /run; systemd.service(5).
pub fn pid_file(draft: &mut Draft, value: &str) -> Fate {
    let path = if value.starts_with('/') {
        value.to_owned()
    } else {
        format!("/run/{value}")
    };
    draft.set("service", "pid-file", path);
    match draft.get("service", "type").and_then(Value::as_str) {
        Some("forking") => Fate::Kept,
        Some(_) | None => {
            draft.remove("service", "pid-file");
            Fate::Changed("left out: only a forking service has its main process named".to_owned())
        }
    }
}

pub fn permissions_start_only(draft: &mut Draft, value: &str) -> Fate {
    match values::boolean(value) {
        Ok(true) => {
            // Taken out again by `super::finish`.
            draft.set("service", MARK, true);
            Fate::Changed("the other commands have the prefix `+`".to_owned())
        }
        Ok(false) => Fate::Kept,
        Err(why) => Fate::Lost(why),
    }
}

/// No key: who sets it asks for a prefix of the commands besides the main one, which systemd then runs without its user and
/// without its sandbox (service.c, EXEC_APPLY_SANDBOXING).
const MARK: &str = "(permissions start only)";

/// Gives the other commands the prefix that was asked for.
pub fn prefix_others(draft: &mut Draft) {
    if draft.remove("service", MARK).is_none() {
        return;
    }
    let others = [
        "exec-condition",
        "exec-start-pre",
        "exec-start-post",
        "exec-reload",
        "exec-stop",
        "exec-stop-post",
    ];
    for key in others {
        let Some(Value::Array(mut commands)) = draft.remove("service", key) else {
            continue;
        };
        for command in &mut commands {
            if let Some(Value::String(program)) = command.get_mut(0)
                && !program.contains(['!', '+'])
            {
                program.insert(0, '+');
            }
        }
        draft.set("service", key, commands);
    }
}

pub fn search_path(draft: &mut Draft, value: &str) -> Fate {
    let paths: Vec<Value> = value
        .split([':', ' '])
        .filter(|path| path.starts_with('/'))
        .map(Value::from)
        .collect();
    draft.extend("service", "exec-search-path", paths);
    Fate::Kept
}

pub fn working_directory(draft: &mut Draft, value: &str) -> Fate {
    let path = value.trim_start_matches('-');
    match (path, path == value) {
        ("~", _) => Fate::Lost("write the home directory as a path".to_owned()),
        (_, true) => set(draft, "service", "working-directory", Ok(path.into())),
        (_, false) => {
            draft.set("service", "working-directory", path);
            Fate::Changed("it has to be there".to_owned())
        }
    }
}

pub fn environment(draft: &mut Draft, value: &str) -> Fate {
    let pairs = match words(value) {
        Ok(pairs) => pairs,
        Err(why) => return Fate::Lost(why),
    };
    for pair in pairs {
        match pair.split_once('=').filter(|(name, _)| !name.is_empty()) {
            Some((name, value)) => draft.insert("service", "environment", name, value.into()),
            None => return Fate::Lost(format!("`{pair}` is no NAME=value")),
        }
    }
    Fate::Kept
}

/// Numbers and ranges with commas or blanks between them.
pub fn cpu_affinity(draft: &mut Draft, value: &str) -> Fate {
    let list = value
        .split([',', ' '])
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(",");
    match crate::unit::value::NumberList::parse(&list) {
        Ok(_) => set(draft, "service", "cpu-affinity", Ok(list.into())),
        Err(why) => Fate::Lost(why.into()),
    }
}

pub fn timer_slack(draft: &mut Draft, value: &str) -> Fate {
    let made = values::time(value, "ns").and_then(|time| time.ok_or_else(|| "svc has no infinity here".to_owned()));
    set(
        draft,
        "service",
        "timer-slack",
        made.map(|time| crate::unit::value::duration_text(time).into()),
    )
}

pub fn tasks_max(draft: &mut Draft, value: &str) -> Fate {
    match (value, value.parse::<u64>()) {
        ("infinity", _) => {
            draft.remove("resources", "pids-max");
            Fate::Kept
        }
        (_, Ok(count)) => set(draft, "resources", "pids-max", Ok(json!(count))),
        (_, Err(_)) => Fate::Changed("left out: pids-max is a number, and there is no limit without it".to_owned()),
    }
}

/// All controllers, or none.
pub fn delegate(draft: &mut Draft, value: &str) -> Fate {
    match values::boolean(value) {
        Ok(all) => set(draft, "resources", "delegate", Ok(all.into())),
        Err(_) => {
            draft.set("resources", "delegate", true);
            Fate::Changed("all controllers that there are".to_owned())
        }
    }
}

pub fn slice(draft: &mut Draft, value: &str) -> Fate {
    match value.trim_end_matches(".slice") {
        "system" | "-" => Fate::Kept,
        name => set(draft, "resources", "slice", Ok(name.into())),
    }
}

/// Sets a key, or says why not.
pub fn set(draft: &mut Draft, table: &'static str, key: &'static str, made: Made) -> Fate {
    match made {
        Ok(value) => {
            draft.set(table, key, value);
            Fate::Kept
        }
        Err(why) => Fate::Lost(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_those_of_systemd() {
        for (text, expected) in [
            (r#"/bin/a "b c" $D"#, json!([["/bin/a", "b c", "$D"]])),
            (r"-/bin/a \; b ; +/bin/c", json!([["-/bin/a", ";", "b"], ["+/bin/c"]])),
            (":/bin/a $B", json!([["/bin/a", "$$B"]])),
            ("-!!/bin/a", json!([["-!/bin/a"]])),
            ("@/bin/sh -sh", json!([["@/bin/sh", "-sh"]])),
        ] {
            assert_eq!(command_lines(text).map(Value::from), Ok(expected), "{text}");
        }
        assert!(command_lines("-").is_err());
    }
}
