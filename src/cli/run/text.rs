//! Flags to the unit file that they mean: what `svc check` accepts and `svc start` runs the same.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::arguments::Run;
use super::environment;
use crate::unit::value::{capability_names, literal};
use crate::unit::{Isolation, Profile};

/// What a unit has for a root.
#[derive(Debug, PartialEq, Eq)]
pub enum Root {
    /// Of this name.
    Image(String),
    /// On top of which it writes.
    Directory(PathBuf),
    /// That of the machine.
    Machine,
}

/// Which root was typed.
///
/// # Errors
/// Neither a root nor a command.
pub fn root(order: &Run) -> Result<Root, String> {
    if order.on_machine().is_some() {
        return Ok(Root::Machine);
    }
    let none = || "an image, a directory, or `-- COMMAND` for one on the machine's own root".to_owned();
    let word = order.words().into_iter().next().ok_or_else(none)?;
    if !word.starts_with(['/', '.']) {
        return Ok(Root::Image(word));
    }
    let directory = std::path::absolute(&word).map_err(|error| format!("{word}: {error}"))?;
    Ok(Root::Directory(directory))
}

/// A name of what is run and four digits, which no other is likely to have.
pub fn name(order: &Run, root: &Root) -> String {
    let of = match root {
        Root::Image(image) => image.as_str(),
        Root::Directory(directory) => directory.to_str().unwrap_or_default(),
        Root::Machine => order
            .on_machine()
            .and_then(<[String]>::first)
            .map_or("", String::as_str),
    };
    let last = Path::new(of)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let word: String = last
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric())
        .take(32)
        .collect();
    let word = if word.is_empty() { "run" } else { &word };
    format!("{word}-{:04x}", rand_u16())
}

fn rand_u16() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness the name may be taken, and then the supervisor says so.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    u16::from_ne_bytes(bytes)
}

/// The unit file.
///
/// # Errors
/// A flag that means nothing.
pub fn unit(order: &Run, root: &Root, entry_point: Vec<String>) -> Result<String, String> {
    let mut tables: Vec<(&str, Table)> = vec![
        ("service", service(order, root, entry_point)?),
        ("restart", Table::default().text("policy", policy(order))),
        ("resources", resources(order)?),
        ("isolation", isolation(order, root)?),
        ("root", of_root(order, root)),
    ];
    for volume in &order.volume {
        tables.push(("[mount]", mount(volume)?));
    }
    // What is published is on the bridge, unless it is said otherwise.
    let published = (!order.publish.is_empty()).then(|| "bridge".to_owned());
    let network = Table::default().optional("mode", order.net.as_deref().map(mode).or(published).as_deref());
    tables.push(("network", network.list("publish", &order.publish)));
    let mut text = String::new();
    let said = |(name, table): &&(&str, Table)| *name == "service" || !table.0.is_empty();
    for (name, table) in tables.iter().filter(said) {
        let gap = if text.is_empty() { "" } else { "\n" };
        let _ = write!(text, "{gap}[{name}]\n{}", table.0);
    }
    Ok(text)
}

/// A stop by hand is followed by no restart anyway, as docker's unless-stopped has it.
fn policy(order: &Run) -> &str {
    match order.restart.as_deref() {
        Some("unless-stopped") => "always",
        Some(policy) => policy,
        None => "no",
    }
}

fn service(order: &Run, root: &Root, mut entry_point: Vec<String>) -> Result<Table, String> {
    let words = order.words();
    let typed = order.on_machine().or_else(|| words.get(1..)).unwrap_or_default();
    // Without any, the image says it all.
    let mut words = Vec::new();
    if !typed.is_empty() || order.entrypoint.is_some() {
        words.append(&mut entry_point);
        words.extend_from_slice(typed);
    }
    if words.is_empty() && !matches!(root, Root::Image(_)) {
        return Err("no command".to_owned());
    }
    if let Some(word) = words.first().filter(|word| word.starts_with(['-', '@', '+', '!'])) {
        return Err(format!(
            "{word:?} is no program: in a unit file its first character is a prefix"
        ));
    }
    // `$` is the environment's in a unit file; docker(1) knows none.
    let words: Vec<String> = words.iter().map(|word| literal(word)).collect();
    let (user, group) = match order
        .user
        .as_deref()
        .map(|user| user.split_once(':').unwrap_or((user, "")))
    {
        Some((user, group)) => (Some(user), Some(group).filter(|group| !group.is_empty())),
        None => (None, None),
    };
    Ok(Table::default()
        .list("exec-start", &words)
        .map("environment", &environment(&order.environment, order.streams.tty))
        .optional("working-directory", order.workdir.as_deref())
        .optional("user", user)
        .optional("group", group))
}

fn resources(order: &Run) -> Result<Table, String> {
    let quota = order.cpu.as_deref().map(quota).transpose()?;
    let table = Table::default()
        .optional("cpu-quota", quota.as_deref())
        .optional("memory-max", order.memory.as_deref().map(size).as_deref());
    Ok(table.bare("pids-max", order.pids))
}

/// As docker has it, a number counts CPUs.
fn quota(text: &str) -> Result<String, String> {
    if text.ends_with('%') {
        return Ok(text.to_owned());
    }
    let cpus: f64 = text
        .parse()
        .map_err(|_| format!("--cpu {text}: neither `20%` nor a number of CPUs"))?;
    Ok(format!("{}%", (cpus * 100.0).round()))
}

/// As docker has it, `64m`, or `64mb`, is 64 MiB.
fn size(text: &str) -> String {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return text.to_owned();
    }
    let upper = text.to_ascii_uppercase();
    match upper
        .strip_suffix('B')
        .filter(|rest| rest.ends_with(['K', 'M', 'G', 'T']))
    {
        Some(rest) => rest.to_owned(),
        None => upper,
    }
}

fn isolation(order: &Run, root: &Root) -> Result<Table, String> {
    let strictly = order.read_only && *root == Root::Machine;
    let user = order.user_ns.as_deref().filter(|user| *user != "host");
    Ok(Table::default()
        .optional("profile", order.profile.as_deref())
        .bare("init", (!order.init).then_some(false))
        .optional("hostname", order.hostname.as_deref())
        .optional("user", user)
        .optional("protect-system", strictly.then_some("strict"))
        .list("capabilities", &capabilities(order)?))
}

/// The whole list, where it is not the profile's.
fn capabilities(order: &Run) -> Result<Vec<String>, String> {
    if order.add.is_empty() && order.drop.is_empty() {
        return Ok(Vec::new());
    }
    let number = |name: &String| {
        let upper = name.to_ascii_uppercase();
        let whole = format!("CAP_{}", upper.strip_prefix("CAP_").unwrap_or(&upper));
        crate::unit::value::capability_number(&whole)
            .ok_or_else(|| format!("{name} is no capability of capabilities(7)"))
    };
    let is_all = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case("all"));
    let set = |names: &[String]| -> Result<u64, String> {
        let named = names.iter().filter(|name| !name.eq_ignore_ascii_case("all"));
        named.map(number).try_fold(0, |set, number| Ok(set | 1_u64 << number?))
    };
    if is_all(&order.add) && order.drop.is_empty() {
        return Ok(vec!["all".to_owned()]);
    }
    let profile = match order.profile.as_deref() {
        Some("none") => Profile::None,
        Some("strict") => Profile::Strict,
        Some(_) | None => Profile::Standard,
    };
    let first = match (is_all(&order.add), is_all(&order.drop)) {
        (true, _) => u64::MAX,
        (false, true) => 0,
        (false, false) => Isolation::of(profile).capabilities.unwrap_or(u64::MAX),
    };
    let names = capability_names((first & !set(&order.drop)?) | set(&order.add)?);
    Ok(if names.is_empty() {
        vec!["none".to_owned()]
    } else {
        names
    })
}

fn of_root(order: &Run, root: &Root) -> Table {
    let table = match root {
        Root::Machine => return Table::default(),
        Root::Image(name) => Table::default().text("image", name),
        Root::Directory(directory) => Table::default().list("layers", &[directory.display().to_string()]),
    };
    // What is written stays as long as the unit does, where somebody keeps its root between two commands.
    let writable = match (order.read_only, order.rm || !order.init) {
        (true, _) => "none",
        (false, true) => "tmpfs",
        (false, false) => "persistent",
    };
    table.text("writable", writable)
}

fn mount(volume: &str) -> Result<Table, String> {
    let mut parts = volume.split(':');
    let (source, target, how) = (parts.next(), parts.next(), parts.next());
    let wrong = || format!("--volume {volume}: expected SOURCE:TARGET, or SOURCE:TARGET:ro");
    let (Some(source), Some(target), None) = (source, target, parts.next()) else {
        return Err(wrong());
    };
    let read_only = match how {
        None | Some("rw") => None,
        Some("ro") => Some(true),
        Some(_) => return Err(wrong()),
    };
    if !source.starts_with(['/', '.']) {
        return Err(format!(
            "--volume {volume}: there are no named volumes; write a path, such as ./{source}"
        ));
    }
    let source = std::path::absolute(source).map_err(|error| format!("{source}: {error}"))?;
    let table = Table::default().text("source", &source.display().to_string());
    Ok(table.text("target", target).bare("read-only", read_only))
}

/// docker's word for another's network is `container:NAME`.
fn mode(net: &str) -> String {
    net.strip_prefix("container:")
        .map_or_else(|| net.to_owned(), |unit| format!("join:{unit}"))
}

/// The lines of a table.
#[derive(Default)]
struct Table(String);

impl Table {
    fn text(self, key: &str, value: &str) -> Self {
        self.optional(key, Some(value))
    }

    fn optional(mut self, key: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            let _ = writeln!(self.0, "{key} = {}", quoted(value));
        }
        self
    }

    fn bare(mut self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        if let Some(value) = value {
            let _ = writeln!(self.0, "{key} = {value}");
        }
        self
    }

    fn list(mut self, key: &str, values: &[String]) -> Self {
        if !values.is_empty() {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            let _ = writeln!(self.0, "{key} = [{}]", values.join(", "));
        }
        self
    }

    fn map(mut self, key: &str, pairs: &[String]) -> Self {
        let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
        let pairs: std::collections::BTreeMap<&str, &str> = pairs.collect();
        if !pairs.is_empty() {
            let pair = |(name, value): (&&str, &&str)| format!("{} = {}", quoted(name), quoted(value));
            let pairs: Vec<String> = pairs.iter().map(pair).collect();
            let _ = writeln!(self.0, "{key} = {{ {} }}", pairs.join(", "));
        }
        self
    }
}

/// A basic string of TOML, in which a brace is none of a unit file's; its other escapes are those of JSON.
fn quoted(text: &str) -> String {
    // Behind a `$` it is none anyway, and stays one.
    let text = text.replace('{', "{{").replace("${{", "${");
    serde_json::Value::from(text).to_string().replace('\x7f', "\\u007f")
}

#[cfg(test)]
mod tests;
