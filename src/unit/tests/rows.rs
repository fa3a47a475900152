//! The rows of [`keys::all`], the decoder, and what is shown: none knows a key that another does not.

use super::keys::{Change, Key, Kind as K, OfNetwork, Resource};
use super::*;

/// The rows of what any unit can have: what only a template has is in the tests of files.
fn rows() -> impl Iterator<Item = &'static Key> {
    keys::all().filter(|row| (row.table, row.name) != ("[socket]", "accept"))
}

/// A value of no row's type.
const BOGUS: &str = "[[{ x = 1.5 }]]";

/// Those of keys that not every value of their kind is good for.
fn own_values(row: &Key) -> Option<(String, String)> {
    let two = |first: &str, second: &str| (first.to_owned(), second.to_owned());
    let own = match (row.table, row.name) {
        ("health", "http") => two("\"http://127.0.0.1:1/\"", "\"http://[::1]/a\""),
        ("health", "tcp") => two("\"127.0.0.1:1\"", "\"[::1]:2\""),
        ("service", "type") => two("\"exec\"", "\"oneshot\""),
        ("service", "cpu-scheduling-policy") => two("\"idle\"", "\"batch\""),
        ("service", "io-scheduling-class") => two("\"realtime\"", "\"idle\""),
        ("service", "io-scheduling-priority") => two("5", "6"),
        ("isolation", "profile") => two("\"none\"", "\"standard\""),
        ("isolation", "best-effort") => two("[\"pid\"]", "[\"ipc\"]"),
        ("isolation", "hostname") => two("\"one\"", "\"two\""),
        ("network", "mode") => two("\"none\"", "\"join:x\""),
        ("service", "credentials") => two("{ A = \"/a\" }", "{ A = \"/b\" }"),
        ("[mount]", "type") => two("\"tmpfs\"", "\"ramfs\""),
        ("[mount]", "source") => two("\"/a\"", "\"/b\""),
        ("resources", "slice") => two("\"s1\"", "\"s2\""),
        ("resources", "oom-policy") => two("\"continue\"", "\"stop\""),
        ("resources", "cpu-period") => two("\"20ms\"", "\"30ms\""),
        ("[socket]", "listen-sequential-packet") => two("\"/run/a\"", "\"/run/b\""),
        ("restart", "max-delay") => two("\"40s\"", "\"50s\""),
        _ => return None,
    };
    Some(own)
}

/// Two good values, each another than the default and the other.
fn values(row: &Key) -> (String, String) {
    let two = |first: &str, second: &str| (first.to_owned(), second.to_owned());
    if let Some(own) = own_values(row) {
        return own;
    }
    match row.kind {
        K::Text => two("\"one\"", "\"two\""),
        K::Base64 => two("\"AP8=\"", "\"aGVsbG8=\""),
        K::Texts => two("[\"ONE\"]", "[\"TWO\", \"ONE\"]"),
        K::Bool | K::BoolOr(_) => two("true", "false"),
        K::Whole(..) => two("7", "8"),
        K::Calendar => two("\"daily\"", "\"Mon..Fri *-*~1 08:00:00 UTC\""),
        K::Address => two("\"80\"", "\"/run/x.sock\""),
        K::Duration => two("\"1s\"", "\"2s\""),
        K::Limit => two("\"11s\"", "\"infinity\""),
        K::Size => two("\"1M\"", "2097152"),
        K::Percent => two("\"20%\"", "\"150%\""),
        K::Signal => two("\"SIGUSR1\"", "\"SIGUSR2\""),
        K::Exits => two("[3]", "[\"SIGUSR1\"]"),
        K::Mode => two("\"0077\"", "\"0027\""),
        K::Path => two("\"/a\"", "\"/b\""),
        K::Paths => two("[\"/a\"]", "[\"/b\", \"/a\"]"),
        K::Commands => two("\"/bin/a\"", "[\"/bin/b\", \"c\"]"),
        K::Account => two("\"daemon\"", "7"),
        K::Accounts => two("[\"daemon\"]", "[7]"),
        K::Word(words) => two(&format!("\"{}\"", words[0]), &format!("\"{}\"", words[1])),
        K::Namespace => two("false", "\"join:x\""),
        K::UserNamespace => two("\"auto\"", "\"0:100000:65536,70000:1:1\""),
        K::Map => two("{ A = \"1\" }", "{ A = \"2\" }"),
        K::Requires => two("[\"x\"]", "{ x = \"started\" }"),
        K::Name => two("\"x\"", "\"y\""),
        K::Names => two("[\"x\"]", "[\"y\"]"),
        K::Conditions => two("[{ path-exists = \"/a\" }]", "[{ path-exists = \"!/a\" }]"),
        K::Rlimits => two("{ nofile = 10 }", "{ nofile = \"10:20\" }"),
        K::GiveUp => two("{ starts = 1, within = \"1s\" }", "{ starts = 2, within = \"1s\" }"),
        K::RateLimit => two("{ lines = 1, per = \"1s\" }", "{ lines = 2, per = \"1s\" }"),
        K::Output => two("\"null\"", "\"append:/a\""),
        K::Forward => two("[\"console\"]", "[\"kmsg\"]"),
        K::Capabilities => two("[\"CAP_CHOWN\"]", "[\"CAP_KILL\"]"),
        K::Ambient => two("[\"CAP_CHOWN\"]", "[\"CAP_KILL\", \"CAP_CHOWN\"]"),
        K::Seccomp => two(
            "\"none\"",
            "{ allow = [\"@system-service\"], deny = [\"ptrace\"], errno = \"kill\" }",
        ),
        K::Landlock => two(
            "{ read-only = [\"/usr\"] }",
            "{ read-write = [\"/srv\"], execute = [\"-/opt\"] }",
        ),
        K::NamespaceKinds => two("false", "[\"net\", \"uts\"]"),
        K::SocketFamilies => two("[\"AF_INET\", \"AF_UNIX\"]", "[\"~AF_PACKET\"]"),
        K::Architectures => two("[\"native\"]", "[\"x86-64\", \"x86\"]"),
        K::OfNetwork(which) => network_values(which),
        K::Resource(which) => resource_values(which),
        K::TimeOffsets => two("{ boottime = \"1d\" }", "{ monotonic = \"-1h 1ms\" }"),
    }
}

fn network_values(which: OfNetwork) -> (String, String) {
    let two = |first: &str, second: &str| (first.to_owned(), second.to_owned());
    match which {
        OfNetwork::Mode => two("\"none\"", "\"host\""),
        OfNetwork::Subnets => two("\"10.88.0.7/16\"", "[\"10.88.0.7/16\", \"fd73::7/64\"]"),
        OfNetwork::Parent => two("\"eth0\"", "\"eth1\""),
        OfNetwork::Addresses => two("\"192.0.2.1\"", "[\"192.0.2.1\", \"2001:db8::1\"]"),
        OfNetwork::Publish => two("[\"80\"]", "[\"127.0.0.1:8080:80/udp\", \"[::1]:1-9:1-9\"]"),
        OfNetwork::Hosts => two("{ db = \"10.88.0.3\" }", "{ db = \"fd73::3\" }"),
        OfNetwork::Rules => two("[\"in:web:80\"]", "[\"out:10.0.0.0/8\", \"in:*:53/udp\"]"),
    }
}

fn resource_values(which: Resource) -> (String, String) {
    let two = |first: &str, second: &str| (first.to_owned(), second.to_owned());
    match which {
        Resource::Numbers => two("\"0\"", "\"0-1,4\""),
        Resource::Devices => two("[\"/dev/null rw\"]", "[\"char-pts rw\", \"b 8:* r\"]"),
        Resource::IoMax => two(
            "[{ device = \"/dev/vda\", rbps = \"10M\" }]",
            "[{ device = \"/dev/vda\", wiops = 5 }, { device = \"/dev/vdb\", wbps = 7 }]",
        ),
        Resource::HugetlbMax => two("{ \"2MB\" = \"4M\" }", "{ \"2MB\" = 0, \"1GB\" = \"1G\" }"),
        Resource::RdmaMax => two(
            "{ mlx5_0 = { hca-handle = 2 } }",
            "{ mlx5_0 = { hca-object = 3, hca-handle = 2 } }",
        ),
        Resource::MiscMax => two("{ sev = 1 }", "{ sev = 2 }"),
        Resource::ClassId => two("\"10:1\"", "\"ffff:a\""),
        Resource::Priorities => two("{ eth0 = 5 }", "{ eth0 = 5, lo = 1 }"),
    }
}

/// A service that sets a key, or a mount that does, and nothing else that it need not.
fn text(row: &Key, value: &str) -> String {
    if row.table == "mount" {
        let needs = [("what", "what = \"/dev/x\"\n"), ("where", "where = \"/x\"\n")];
        let needs: String = needs
            .iter()
            .filter(|(name, _)| *name != row.name)
            .map(|(_, line)| *line)
            .collect();
        return format!("[mount]\n{needs}{} = {value}\n", row.name);
    }
    let mut tables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    if (row.table, row.name) != ("service", "exec-start") {
        tables
            .entry("service")
            .or_default()
            .push("exec-start = \"/bin/true\"".to_owned());
    }
    if (row.table, row.name) == ("service", "cpu-scheduling-priority") {
        let needs = "cpu-scheduling-policy = \"fifo\"".to_owned();
        tables.entry("service").or_default().push(needs);
    }
    if (row.table, row.name) == ("service", "pid-file") {
        tables
            .entry("service")
            .or_default()
            .push("type = \"forking\"".to_owned());
    }
    if row.table == "health" && !matches!(row.name, "exec" | "http" | "tcp") {
        tables
            .entry("health")
            .or_default()
            .push("tcp = \"127.0.0.1:1\"".to_owned());
    }
    tables.entry(row.table).or_default().extend(needs_of_network(row));
    if row.table == "[mount]" {
        let needs = [("target", "target = \"/x\""), ("source", "source = \"/y\"")];
        let needs = needs.iter().filter(|(name, _)| *name != row.name);
        let lines = needs.map(|(_, line)| (*line).to_owned());
        tables.entry(row.table).or_default().extend(lines);
    }
    if row.table == "[socket]" && !row.name.starts_with("listen-") {
        let needs = "listen-stream = \"/run/y.sock\"".to_owned();
        tables.entry(row.table).or_default().push(needs);
    }
    if row.table == "[timer]" && matches!(row.name, "persistent" | "randomized-delay") {
        let needs = "on-calendar = \"daily\"".to_owned();
        tables.entry(row.table).or_default().push(needs);
    }
    if row.table == "root" && matches!(row.name, "writable" | "size") {
        let mut needs = vec!["path = \"/x\"".to_owned()];
        needs.extend((row.name == "size").then(|| "writable = \"tmpfs\"".to_owned()));
        tables.entry(row.table).or_default().extend(needs);
    }
    // Without a mount namespace, what needs one is an error.
    if (row.table, row.name) == ("isolation", "mount") {
        let needs = [
            "private-tmp",
            "private-devices",
            "protect-system",
            "protect-kernel-tunables",
        ];
        let lines = needs.map(|key| format!("{key} = false"));
        tables.entry("isolation").or_default().extend(lines);
    }
    tables
        .entry(row.table)
        .or_default()
        .push(format!("{} = {value}", row.name));
    let table = |(name, lines): (&&str, &Vec<String>)| format!("[{name}]\n{}\n", lines.join("\n"));
    tables.iter().map(table).collect()
}

fn needs_of_network(row: &Key) -> Option<String> {
    let needs = match (row.table, row.name) {
        ("network", "mode" | "dns" | "hosts") => None,
        ("network", "gateway") => Some("mode = \"macvlan\"\nparent = \"up0\""),
        ("network", "parent") => Some("mode = \"macvlan\""),
        ("network", _) => Some("mode = \"bridge\""),
        _ => None,
    };
    needs.map(str::to_owned)
}

/// The unit and nothing but warnings, of units that nobody has.
fn decoded(text: &str) -> Rc<Unit> {
    let units = Units::new(&[("t.toml", text)]);
    let set = units.load();
    let errors: Vec<&Finding> = set
        .findings
        .iter()
        .filter(|found| found.severity == Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{text}\n{errors:#?}");
    set.units[&UnitName::new("t").unwrap()].clone()
}

#[test]
fn rows_are_there_once_and_in_kebab_case() {
    for (nth, row) in keys::all().enumerate() {
        let again = keys::all()
            .skip(nth + 1)
            .any(|other| (other.table, other.name) == (row.table, row.name));
        assert!(!again, "[{}] {}", row.table, row.name);
        assert!(
            row.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
            "{}",
            row.name
        );
        assert!(!row.doc.is_empty(), "{}", row.name);
    }
    let tables = keys::tables();
    let once: std::collections::BTreeSet<&str> = tables.iter().copied().collect();
    assert_eq!(once.len(), tables.len(), "{tables:?}");
}

#[test]
fn a_bogus_value_is_an_error_at_its_key() {
    for row in keys::all() {
        let text = text(row, BOGUS);
        let units = Units::new(&[("t.toml", &text)]);
        let line = text
            .lines()
            .position(|line| line.starts_with(&format!("{} = [[", row.name)))
            .unwrap() as u32
            + 1;
        let found = units.load().findings;
        let there = found
            .iter()
            .any(|found| found.severity == Severity::Error && found.line == line);
        assert!(there, "{text}\n{found:#?}");
    }
}

/// A key is read, shown as it was written, and its edit is a difference of its own class.
#[test]
fn every_row_is_read_shown_and_compared() {
    for row in rows() {
        let (first, second) = values(row);
        let (one, two) = (decoded(&text(row, &first)), decoded(&text(row, &second)));
        let key = format!("[{}] {}", row.table, row.name);
        let differences = show::differences(&one, &two);
        let its = differences.iter().find(|found| *found.key == *key);
        let its = its.unwrap_or_else(|| panic!("{key}: {differences:?}"));
        assert_eq!(its.change, row.change, "{key}");
        assert_ne!(its.old, its.new, "{key}");
        // These bring another key with them: a list of devices, or that the service is heard.
        let bring = [
            "[isolation] profile",
            "[isolation] private-devices",
            "[service] watchdog",
        ];
        if !bring.contains(&&*key) {
            assert_eq!(differences.len(), 1, "{key}: {differences:?}");
        }
        let of_file = |unit: &Unit| {
            let all = show::effective(unit);
            all.iter().any(|shown| {
                (shown.table, shown.key) == (row.table, row.name) && matches!(shown.origin, show::ValueOrigin::File(_))
            })
        };
        assert!(of_file(&one) || of_file(&two), "{key} is not shown");
    }
}

/// A value as it is shown can be written into a file, and says the same.
#[test]
fn what_is_shown_reads_back() {
    for row in rows() {
        let (first, second) = values(row);
        for value in [first, second] {
            let unit = decoded(&text(row, &value));
            let all = show::effective(&unit);
            let its = |shown: &&show::Effective| (shown.table, shown.key) == (row.table, row.name);
            let Some(shown) = all.iter().find(its) else {
                continue;
            };
            let again = decoded(&text(row, &shown.value));
            let differences = show::differences(&unit, &again);
            assert_eq!(differences, [], "[{}] {} = {}", row.table, row.name, shown.value);
        }
    }
}

#[test]
fn a_comment_is_no_difference_and_a_key_is() {
    let differences = |before: &str, after: &str| {
        let of = |text: &str| decoded(&format!("{PLAIN}{text}"));
        let all = show::differences(&of(before), &of(after));
        all.into_iter()
            .map(|found| (found.key.to_string(), found.change))
            .collect::<Vec<_>>()
    };
    assert_eq!(differences("# a\n", "# b\n\n"), []);
    let input = ("[service] standard-input".to_owned(), Change::Restart);
    assert_eq!(
        differences("standard-input = \"null\"", "standard-input = \"tty\""),
        [input]
    );
}

#[test]
fn another_kind_is_a_difference() {
    let differences = show::differences(&decoded(PLAIN), &decoded("[target]\n"));
    assert!(
        differences
            .iter()
            .any(|found| &*found.key == "kind" && found.change == Change::Restart)
    );
}
