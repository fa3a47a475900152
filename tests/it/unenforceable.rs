//! Keys on a machine that cannot hold them: the start is refused with the key and the cause, and with `best-effort` it
//! goes on and status says what was skipped. The machine is made so by running svcd as a service of another svcd, which
//! takes system calls or capabilities from it.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::Value;

use super::harness::{Done, Plan, SLEEPER, Svcd, binary, svc_at};
use super::machine::{eventually, is_root, skip};

/// An svcd within an svcd.
struct Inner {
    socket: PathBuf,
    outer: Svcd,
}

impl Inner {
    /// With these units, and these keys of `[isolation]` between it and the machine.
    fn start(taken: &str, units: &[(String, String)]) -> Self {
        let plan = Plan::new();
        let name = plan.dir().file_name().unwrap().to_str().unwrap().to_owned();
        let place = plan.dir().join("inner");
        std::fs::create_dir_all(place.join("units")).unwrap();
        for (name, text) in units {
            std::fs::write(place.join(format!("units/{name}.toml")), text).unwrap();
        }
        let flag = |flag: &str, folder: &str| format!("\"--{flag}\", \"{}\"", place.join(folder).display());
        let words = [
            format!("\"{}\"", binary("svcd").display()),
            flag("units", "units"),
            flag("runtime-dir", "run"),
            flag("state-dir", "state"),
            flag("log-dir", "log"),
            format!("\"--cgroup\", \"{name}-inner\""),
        ];
        let unit = format!(
            "[service]\nexec-start = [{}]\nkill-mode = \"mixed\"\n[isolation]\nprofile = \"none\"\n{taken}\n",
            words.join(", ")
        );
        let outer = plan.unit("inner", &unit).start();
        outer.ok(&["start", "inner"]);
        let socket = place.join("run/control.sock");
        eventually("the inner svcd answers", || UnixStream::connect(&socket).is_ok());
        Self { socket, outer }
    }

    fn svc(&self, arguments: &[&str]) -> Done {
        svc_at(&self.socket, arguments)
    }

    fn status(&self, unit: &str) -> Value {
        let done = self.svc(&["--json", "status", unit]);
        serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}{}", done.out, done.err))
    }
}

/// Holds the rule for keys of `[isolation]` that a machine cannot enforce: key, value, exit code of the failed step.
fn are_refused(taken: &str, cause: &str, keys: &[(&str, &str, i64)]) {
    let unit = |key: &str, value: &str, more: &str| {
        let once = "[restart]\npolicy = \"no\"\n";
        format!("{SLEEPER}{once}[isolation]\nprofile = \"none\"\n{key} = {value}\n{more}")
    };
    let mut units = Vec::new();
    for (key, value, _) in keys {
        units.push((format!("must-{key}"), unit(key, value, "")));
        units.push((
            format!("may-{key}"),
            unit(key, value, &format!("best-effort = [\"{key}\"]\n")),
        ));
    }
    let inner = Inner::start(taken, &units);
    for (key, _, code) in keys {
        let must = format!("must-{key}");
        let done = inner.svc(&["start", &must]);
        assert_eq!(done.code, 78, "{key}: {}\n{}", done.err, inner.outer.said());
        assert!(
            done.err.contains(key) && done.err.contains(cause),
            "{key}: {}",
            done.err
        );
        let status = inner.status(&must);
        assert_eq!(
            (&status["failed-step"], &status["step-exit-code"]),
            (&(*key).into(), &(*code).into()),
            "{status:#}"
        );
        assert!(status["main-pid"].is_null(), "{status:#}");
        let may = format!("may-{key}");
        let done = inner.svc(&["start", &may]);
        assert_eq!(done.code, 0, "{key}: {}", done.err);
        let status = inner.status(&may);
        let told = status["isolation"][key].as_str().unwrap_or_default().to_owned();
        assert!(
            told.starts_with("skipped: ") && told.contains(cause),
            "{key}: {status:#}"
        );
        assert_eq!(status["state"], "running");
    }
}

#[test]
fn keys_of_the_filter_without_filters() {
    if !is_root() {
        return skip(
            "keys_of_the_filter_without_filters",
            "a filter without no-new-privileges takes CAP_SYS_ADMIN",
        );
    }
    let keys = [
        ("seccomp", "\"default\"", 228),
        ("restrict-namespaces", "true", 228),
        ("lock-personality", "true", 228),
        ("memory-deny-write-execute", "true", 228),
        ("restrict-realtime", "true", 228),
        ("restrict-suid-sgid", "true", 228),
        ("restrict-address-families", "[\"AF_UNIX\"]", 232),
        ("system-call-architectures", "[\"native\"]", 228),
        ("protect-clock", "true", 228),
        ("protect-kernel-modules", "true\nmount = true", 226),
        ("protect-kernel-logs", "true\nmount = true", 226),
        ("protect-hostname", "true\nmount = true", 226),
    ];
    let taken = "seccomp = { deny = [\"seccomp\"], errno = \"ENOSYS\" }";
    are_refused(taken, "this kernel has no system-call filter: ENOSYS", &keys);
}

#[test]
fn landlock_without_landlock() {
    if !is_root() {
        return skip(
            "landlock_without_landlock",
            "a filter without no-new-privileges takes CAP_SYS_ADMIN",
        );
    }
    let taken = "seccomp = { deny = [\"landlock_create_ruleset\"], errno = \"ENOSYS\" }";
    let keys = [("landlock", "{ read-only = [\"/\"] }", 226)];
    are_refused(taken, "this kernel has no Landlock", &keys);
}

#[test]
fn keyrings_without_keyrings() {
    if !is_root() {
        return skip(
            "keyrings_without_keyrings",
            "a filter without no-new-privileges takes CAP_SYS_ADMIN",
        );
    }
    for (errno, cause) in [
        ("ENOSYS", "this kernel has no keyring: ENOSYS"),
        ("EPERM", "svcd may use no keyring: EPERM"),
    ] {
        let taken = format!("seccomp = {{ deny = [\"keyctl\"], errno = \"{errno}\" }}");
        are_refused(&taken, cause, &[("keyring-mode", "\"private\"", 237)]);
    }
}

#[test]
fn capabilities_that_svcd_has_not() {
    if !is_root() {
        return skip(
            "capabilities_that_svcd_has_not",
            "it takes capabilities to take some away",
        );
    }
    let few = "capabilities = [\"CAP_SYS_ADMIN\", \"CAP_DAC_OVERRIDE\", \"CAP_KILL\", \"CAP_SETUID\", \"CAP_SETGID\"]";
    are_refused(few, "it takes CAP_SETPCAP", &[("capabilities", "[\"CAP_KILL\"]", 218)]);
    if std::path::Path::new("/proc/self/ns/time").exists() {
        are_refused(few, "it takes CAP_SYS_TIME", &[("time", "{ boottime = \"1d\" }", 226)]);
    }
    let keys = [("ambient-capabilities", "[\"CAP_SYS_TIME\"]", 218)];
    are_refused(few, "svcd itself has no CAP_SYS_TIME", &keys);
}

#[test]
fn user_namespaces_without_capabilities() {
    if !is_root() {
        return skip(
            "user_namespaces_without_capabilities",
            "it takes capabilities to take some away",
        );
    }
    let few = "capabilities = [\"CAP_SYS_ADMIN\", \"CAP_DAC_OVERRIDE\", \"CAP_KILL\"]";
    are_refused(few, "it takes CAP_SETGID, CAP_SETUID", &[("user", "\"auto\"", 217)]);
    let few = "capabilities = [\"CAP_SYS_ADMIN\", \"CAP_DAC_OVERRIDE\", \"CAP_KILL\", \"CAP_SETUID\", \"CAP_SETGID\"]";
    are_refused(few, "it takes CAP_SETFCAP", &[("user", "\"identity\"", 217)]);
    let without = "capabilities = [\"CAP_DAC_OVERRIDE\", \"CAP_KILL\", \"CAP_SETUID\", \"CAP_SETGID\"]";
    are_refused(without, "it takes CAP_SYS_ADMIN", &[("user", "\"auto\"", 217)]);
    let ours = "user = \"0:0:65536\"";
    let cause = "svcd itself runs in a user namespace that has not all of the ids";
    are_refused(ours, cause, &[("user", "\"auto\"", 217)]);
}

#[test]
fn keys_of_the_view_without_mounts() {
    if !is_root() {
        return skip(
            "keys_of_the_view_without_mounts",
            "a filter without no-new-privileges takes CAP_SYS_ADMIN",
        );
    }
    let list = "[\"/usr\"]\nmount = true";
    let keys = [
        ("private-tmp", "true\nmount = true", 226),
        ("private-devices", "true\nmount = true", 226),
        ("protect-system", "true\nmount = true", 226),
        ("protect-kernel-tunables", "true\nmount = true", 226),
        ("protect-home", "true\nmount = true", 226),
        ("protect-kernel-modules", "true\nmount = true", 226),
        ("protect-kernel-logs", "true\nmount = true", 226),
        ("protect-control-groups", "true\nmount = true", 226),
        ("protect-hostname", "true\nmount = true", 226),
        ("protect-proc", "\"invisible\"\nmount = true", 226),
        ("read-only-paths", list, 226),
        ("read-write-paths", list, 226),
        ("inaccessible-paths", "[\"/usr/share\"]\nmount = true", 226),
        ("exec-paths", list, 226),
        ("no-exec-paths", "[\"/boot\"]\nmount = true", 226),
    ];
    let taken = "seccomp = { deny = [\"mount_setattr\"], errno = \"ENOSYS\" }";
    are_refused(taken, "this kernel has no mount_setattr(2): ENOSYS", &keys);
}

/// These say what the service is about, so that there is no start without them.
#[test]
fn roots_and_mounts_without_mounts() {
    if !is_root() {
        return skip(
            "roots_and_mounts_without_mounts",
            "a filter without no-new-privileges takes CAP_SYS_ADMIN",
        );
    }
    let best = "[isolation]\nprofile = \"none\"\nmount = true\nbest-effort = [\"mount\"]\n";
    let table = [
        ("mount", "[[mount]]\ntarget = \"/srv\"\ntype = \"tmpfs\"\n"),
        ("root", "[root]\npath = \"/srv\"\n"),
    ];
    let units = table.map(|(name, text)| (name.to_owned(), format!("{SLEEPER}{best}{text}")));
    let taken = "seccomp = { deny = [\"open_tree\"], errno = \"EPERM\" }";
    let inner = Inner::start(taken, &units);
    for (name, _) in table {
        let done = inner.svc(&["start", name]);
        assert_eq!(done.code, 78, "{name}: {}", done.err);
        assert!(
            done.err.contains(name) && done.err.contains("svcd may use no open_tree(2): EPERM"),
            "{}",
            done.err
        );
        assert!(inner.status(name)["main-pid"].is_null());
    }
}

/// A filter, and rules for files, may be given by whoever cannot gain privileges, or by CAP_SYS_ADMIN.
const WITHOUT_SYS_ADMIN: &str = "capabilities = [\"CAP_DAC_OVERRIDE\", \"CAP_KILL\", \"CAP_SETUID\", \"CAP_SETGID\"]";

#[test]
fn filters_without_privileges() {
    if !is_root() {
        return skip("filters_without_privileges", "it takes capabilities to take some away");
    }
    let keys = [("seccomp", "\"default\"", 228)];
    are_refused(WITHOUT_SYS_ADMIN, "it takes CAP_SYS_ADMIN, or no-new-privileges", &keys);
}

#[test]
fn landlock_without_privileges() {
    if !is_root() || !guards_files() {
        return skip(
            "landlock_without_privileges",
            "not root, or a kernel older than 6.2, whose Landlock is refused before it comes to privileges",
        );
    }
    let keys = [("landlock", "{ read-only = [\"/\"] }", 226)];
    are_refused(WITHOUT_SYS_ADMIN, "it takes CAP_SYS_ADMIN, or no-new-privileges", &keys);
}

/// True on a kernel from 6.2 on, whose Landlock is what svcd takes for one.
fn guards_files() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 2)
}

#[test]
fn a_profile_is_refused_as_its_keys_are() {
    if !is_root() {
        return skip("a_profile_is_refused_as_its_keys_are", "it takes CAP_SYS_ADMIN");
    }
    let taken = "seccomp = { deny = [\"keyctl\"], errno = \"ENOSYS\" }";
    let best = format!("{SLEEPER}[isolation]\nbest-effort = [\"keyring-mode\"]\n");
    let units = [("standard".to_owned(), SLEEPER.to_owned()), ("best".to_owned(), best)];
    let inner = Inner::start(taken, &units);
    let done = inner.svc(&["start", "standard"]);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(done.err.contains("keyring-mode"), "{}", done.err);
    assert_eq!(inner.svc(&["start", "best"]).code, 0);
    let isolation = inner.status("best")["isolation"].clone();
    assert_eq!(isolation["keyring-mode"], "skipped: this kernel has no keyring: ENOSYS");
    assert_eq!(isolation["seccomp"], "enforced");
}
