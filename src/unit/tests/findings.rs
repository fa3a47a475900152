//! Mistakes: each with its line, its column, its words, and what would be right.

use super::*;

/// The text of `t.toml`, and all that is said of it. `…` stands for a plain service before the text.
const MISTAKES: &[(&str, &[&str])] = &[
    (
        "[service]\nexec-start = \"/bin/true\"\n[resuorces]\n",
        &["t.toml:3:2: unknown table `[resuorces]` (did you mean `[resources]`?)"],
    ),
    (
        "[zebra-crossing]\n[target]\n",
        &["t.toml:1:2: unknown table `[zebra-crossing]`"],
    ),
    (
        "…[resources]\nmemory-maxx = \"1M\"\n",
        &["t.toml:4:1: unknown key `memory-maxx` in `[resources]` (did you mean `memory-max`?)"],
    ),
    (
        "…memory-max = \"1M\"\n",
        &["t.toml:3:1: unknown key `memory-max` in `[service]` (it belongs in `[resources]`)"],
    ),
    ("…umask = 18\n", &["t.toml:3:9: expected a text in quotes"]),
    (
        "…remain-after-exit = \"yes\"\n",
        &["t.toml:3:21: expected true or false"],
    ),
    ("…nice = 20\n", &["t.toml:3:8: expected a whole number from -20 to 19"]),
    (
        "…kill-mode = \"mixd\"\n",
        &["t.toml:3:13: expected \"control-group\", \"mixed\", \"process\", \"none\" (did you mean `mixed`?)"],
    ),
    ("…timeout-stop = 10\n", &["t.toml:3:16: a duration has a unit: \"10s\""]),
    (
        "…[resources]\nmemory-max = -1\n",
        &["t.toml:4:14: a size is not negative"],
    ),
    (
        "…working-directory = \"srv\"\n",
        &["t.toml:3:21: `srv` is no absolute path"],
    ),
    (
        "…environment = { A = 1 }\n",
        &["t.toml:3:21: expected a text in quotes"],
    ),
    (
        "…[restart]\ngive-up = { starts = 5 }\n",
        &["t.toml:4:11: expected { starts = …, within = \"…\" }"],
    ),
    (
        "…[log]\nforward = [\"consle\"]\n",
        &["t.toml:4:12: expected \"console\", \"kmsg\" or \"syslog:/dev/log\""],
    ),
    (
        "…[network]\nmode = \"hots\"\n",
        &[
            "t.toml:4:8: expected \"host\", \"none\", \"bridge\", \"macvlan\", \"ipvlan\", \"path:/run/netns/NAME\" or \"join:UNIT\" \
           (did you mean `host`?)",
        ],
    ),
    (
        "service = 1\n",
        &[
            "t.toml:0:0: a unit is one of [service], [target], [slice], [mount]: none of them is here",
            "t.toml:1:1: `service` is a table: write `[service]`",
        ],
    ),
    (
        "…[socket]\n",
        &["t.toml:3:2: there can be several of these: write `[[socket]]`"],
    ),
    ("[service]\nnice = 1\n", &["t.toml:1:2: a service needs `exec-start`"]),
    (
        "[mount]\ntype = \"ext4\"\n",
        &["t.toml:1:2: a mount needs `what`", "t.toml:1:2: a mount needs `where`"],
    ),
    (
        "[mount]\nwhat = \"x\"\nwhere = \"/a/../b\"\noptions = [\"noatime,remount\"]\n",
        &[
            "t.toml:3:1: a place to mount on is a path without `..`",
            "t.toml:4:1: `remount` changes a mount; a unit is one",
        ],
    ),
    (
        "[mount]\nwhat = \"x\"\nwhere = \"/\"\n",
        &["t.toml:3:1: the root is mounted by the kernel's `root=`"],
    ),
    (
        "[service]\nexec-start = [[\"/bin/a\"], [\"/bin/b\"]]\n",
        &["t.toml:2:1: several commands are for `type = \"oneshot\"`"],
    ),
    (
        "…[target]\n",
        &["t.toml:3:2: a unit is one thing: [service] or [target]"],
    ),
    (
        "[unit]\ndescription = \"x\"\n",
        &["t.toml:0:0: a unit is one of [service], [target], [slice], [mount]: none of them is here"],
    ),
    (
        "[target]\n[restart]\npolicy = \"no\"\n",
        &["t.toml:2:2: `[restart]` says nothing to a target"],
    ),
    (
        "[slice]\n[isolation]\npid = true\n",
        &["t.toml:2:2: `[isolation]` says nothing to a slice"],
    ),
    (
        "…[root]\nwritable = \"none\"\n",
        &["t.toml:4:1: `[root]` needs `image`, `path` or `layers`"],
    ),
    (
        "…[root]\npath = \"/a\"\nlayers = [\"/b\"]\n",
        &["t.toml:5:1: a root is one of `image`, `path` and `layers`"],
    ),
    ("…[root]\nlayers = []\n", &["t.toml:4:1: a root has at least one layer"]),
    (
        "…[root]\nlayers = [\"/a\", \"-/b\"]\n",
        &["t.toml:4:1: no layer is optional"],
    ),
    (
        "…[root]\nlayers = [\"/a\", \"/b/../c\"]\n",
        &["t.toml:4:1: a path without `..`"],
    ),
    (
        "…[root]\nlayers = [\"/a\", \"/\"]\n",
        &["t.toml:4:1: without `[root]`, the root is the machine's own"],
    ),
    (
        "…[root]\npath = \"/a\"\nsize = \"1M\"\n",
        &["t.toml:4:1: `size` is that of a tmpfs: it needs `writable = \"tmpfs\"`"],
    ),
    (
        "…[root]\nlayers = [\"/a\"]\nwritable = \"persistent\"\n[isolation]\ninit = false\n",
        &[
            "t.toml:4:1: `persistent` needs `init = true` in `[isolation]`: without it each command would have a root of its own",
        ],
    ),
    (
        "…[isolation]\nhostname = \"x\"\nuts = false\n",
        &["t.toml:4:1: `hostname` needs `uts = true`"],
    ),
    (
        "…[isolation]\nhostname = \"a_b\"\n",
        &["t.toml:4:1: a host name has 1 to 64 letters, digits, `-` and `.`"],
    ),
    (
        "…[isolation]\nprivate-tmp = true\nmount = false\nprivate-devices = false\nprotect-system = false\nprotect-kernel-tunables = false\n",
        &["t.toml:4:1: `private-tmp` needs `mount = true`"],
    ),
    (
        "…[isolation]\nbest-effort = [\"seccmp\"]\n",
        &["t.toml:4:16: `seccmp` is no key of isolation or limits (did you mean `seccomp`?)"],
    ),
    (
        "…[restart]\ndelay = \"5s\"\nmax-delay = \"1s\"\n",
        &["t.toml:5:1: `max-delay` is below `delay`"],
    ),
    (
        "…[resources]\ncpu-period = \"2s\"\n",
        &["t.toml:4:1: `cpu-period` is 1ms to 1s"],
    ),
    (
        "…[resources]\nmemory-high = \"2M\"\nmemory-max = \"1M\"\n",
        &["t.toml:4:1: warning: `memory-high` is above `memory-max`, and so is never reached"],
    ),
    (
        "…reload-signal = \"SIGHUP\"\nexec-reload = \"/bin/true\"\n",
        &["t.toml:3:1: `reload-signal` or `exec-reload`, not both"],
    ),
    ("[unit]\nafter = [\"t\"]\n[target]\n", &["t.toml:2:10: t names itself"]),
    (
        "[unit]\nafter = [\"x.toml\"]\n[target]\n",
        &["t.toml:2:10: a unit's name has no `.toml`: `x`"],
    ),
    (
        "[unit]\nrequires = { db = \"raedy\" }\n[target]\n",
        &["t.toml:2:19: expected \"started\", \"ready\", \"healthy\", \"exited\" or \"succeeded\""],
    ),
    (
        "[unit]\nwanted-by = [\"defualt\"]\n[target]\n",
        &["t.toml:2:1: warning: no such unit: `defualt` (did you mean `default`?)"],
    ),
    (
        "[unit]\ndescription = \"{instance}\"\n[target]\n",
        &["t.toml:2:15: `{instance}` in a unit that is no template"],
    ),
    // Columns are characters, not bytes.
    (
        "[unit]\ndescription = \"ä€😀\"\n[service]\nexec-start = [\"/bin/echo\", \"ä€😀\"]\nenvironment = { A = \"ä€😀\", B = 2 }\n",
        &["t.toml:5:32: expected a text in quotes"],
    ),
    // Windows line ends count as one.
    (
        "[service]\r\nexec-start = \"/bin/true\"\r\nnice = \"x\"\r\n",
        &["t.toml:3:8: expected a whole number from -20 to 19"],
    ),
];

#[test]
fn each_mistake_has_its_place_and_its_words() {
    for (text, expected) in MISTAKES {
        let text = text.replace('…', if text.starts_with('…') { PLAIN } else { "…" });
        let units = Units::new(&[("t.toml", &text)]);
        assert_eq!(units.told(), *expected, "{text}");
        let set = units.load();
        let bad = set.findings.iter().any(|finding| finding.severity == Severity::Error);
        assert_eq!(set.units.contains_key(&UnitName::new("t").unwrap()), !bad, "{text}");
        for finding in set.findings.iter().filter(|finding| finding.line > 0) {
            let (span, source) = (finding.span.clone().unwrap(), finding.source.clone().unwrap());
            assert!(
                source.get(span).is_some_and(|meant| !meant.is_empty()),
                "{text}: nothing is underlined"
            );
        }
    }
}

#[test]
fn values_that_parsers_refuse_are_told_where_they_stand() {
    for value in ["\"5\"", "\"1.5s\"", "\"-1s\"", "\"\"", "\"99999999999d\"", "true", "[]"] {
        let units = Units::new(&[("t.toml", &format!("{PLAIN}timeout-stop = {value}\n"))]);
        let told = units.told();
        assert!(
            told.len() == 1 && told[0].starts_with("t.toml:3:16: "),
            "{value}: {told:?}"
        );
    }
    for value in ["\"5 x\"", "\"1T1\"", "\"-1\"", "1.5", "\"\""] {
        let units = Units::new(&[("t.toml", &format!("{PLAIN}[resources]\nmemory-max = {value}\n"))]);
        let told = units.told();
        assert!(
            told.len() == 1 && told[0].starts_with("t.toml:4:14: "),
            "{value}: {told:?}"
        );
    }
}

#[test]
fn all_errors_of_all_files_are_told_at_once() {
    let units = Units::new(&[
        ("a.toml", "[service]\nexec-start = \"/bin/true\ntype = \"exec\"\n"),
        ("b.toml", "[service]\nexec-start = \"/bin/true\"\nnise = 5\nnice = 99\n"),
        ("c.toml", "[service\n"),
        ("d.toml", PLAIN),
    ]);
    let told = units.told();
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told[0].starts_with("a.toml:2:"), "{told:#?}");
    assert_eq!(
        told[1],
        "b.toml:3:1: unknown key `nise` in `[service]` (did you mean `nice`?)"
    );
    assert_eq!(told[2], "b.toml:4:8: expected a whole number from -20 to 19");
    assert!(told[3].starts_with("c.toml:1:"), "{told:#?}");
    let names: Vec<String> = units.load().units.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["d", "default"]);
}

/// What is read is there for `data` alone, which is the default beside it.
#[test]
fn input_is_data_where_there_is_some() {
    let of = |text: &str| match &unit_of(&format!("{PLAIN}{text}")).kind {
        Kind::Service(service) => service.input_data().map(|parts| parts.concat()),
        other @ (Kind::Masked | Kind::Target | Kind::Slice(_) | Kind::Mount(_)) => panic!("{other:?}"),
    };
    assert_eq!(of(""), None);
    assert_eq!(of("standard-input = \"data\"\n"), Some(vec![]));
    assert_eq!(of("standard-input-text = \"a\"\n"), Some(b"a\n".to_vec()));
    let both = "standard-input-data = \"\"\"\nAP\n8=\"\"\"\nstandard-input-text = \"a\\nb\\n\"\n";
    assert_eq!(of(both), Some(b"a\nb\n\0\xff".to_vec()));
    for key in ["standard-input-text", "standard-input-data"] {
        let units = Units::new(&[("t.toml", &format!("{PLAIN}{key} = \"\"\nstandard-input = \"tty\"\n"))]);
        let told = units.told();
        assert!(told[0].starts_with(&format!("t.toml:3:1: `{key}` needs")), "{told:?}");
    }
}

#[test]
fn best_effort_lets_isolation_and_limits_go() {
    for (table, key, value) in [
        ("isolation", "time", "{}"),
        ("isolation", "protect-home", "true"),
        ("resources", "io-weight", "5"),
    ] {
        let best = format!("best-effort = [\"{key}\"]\n");
        let (inside, other) = if table == "isolation" {
            (best, String::new())
        } else {
            (String::new(), format!("[isolation]\n{best}"))
        };
        unit_of(&format!("{PLAIN}[{table}]\n{inside}{key} = {value}\n{other}"));
    }
    // What a service is, is no matter of effort.
    let units = Units::new(&[(
        "t.toml",
        &format!("{PLAIN}type = \"notify\"\n[isolation]\nbest-effort = [\"type\"]\n"),
    )]);
    assert!(
        units
            .told()
            .iter()
            .any(|line| line.contains("`type` is no key of isolation or limits"))
    );
}
