//! A failed step is told apart from a failed program, and from every other step: by its name and object, its errno, and
//! the exit code that systemd gives it.

use std::collections::BTreeSet;
use std::fs;

use svc::sandbox::EXIT_CODES;

use super::harness::SLEEPER;
use super::inner::Inner;
use super::machine::{is_root, skip};
use super::unenforceable::TESTED;

/// What svcd is made to be without, as keys of `[isolation]` around it, and the steps that then fail.
struct Group {
    without: &'static str,
    cases: &'static [Case],
}

/// Keys of `[service]` and further tables, the failed step, its errno and its exit code.
type Case = (&'static str, &'static str, &'static str, i64);

const PLAIN: &str = "[isolation]\nprofile = \"none\"\n";

const GROUPS: &[Group] = &[
    Group {
        without: "",
        cases: &[
            ("working-directory = \"/nowhere\"", "chdir /nowhere", "ENOENT", 200),
            ("exec-start = \"/nowhere/x\"", "exec /nowhere/x", "ENOENT", 203),
            ("exec-start = \"/etc/passwd\"", "exec /etc/passwd", "EACCES", 203),
            (
                "rlimits = { nofile = \"10:2000000000\" }",
                "rlimit nofile",
                "EPERM",
                205,
            ),
            (
                "standard-input = \"tty\"\ntty-path = \"/nowhere\"",
                "terminal /nowhere",
                "ENOENT",
                208,
            ),
            (
                "standard-output = \"file:/nowhere/x\"",
                "output /nowhere/x",
                "ENOENT",
                209,
            ),
            (
                "standard-error = \"append:/nowhere/x\"",
                "error /nowhere/x",
                "ENOENT",
                222,
            ),
            ("[network]\nmode = \"path:/nowhere\"", "network /nowhere", "ENOENT", 225),
            ("cpu-affinity = \"1000-1020\"", "cpu-affinity", "EINVAL", 215),
            ("group = \"nowhere\"", "group nowhere", "ESRCH", 216),
            ("supplementary-groups = [\"nowhere\"]", "group nowhere", "ESRCH", 216),
            ("user = \"nowhere\"", "user nowhere", "ESRCH", 217),
            (
                "user = \"nobody\"\n[isolation]\ninaccessible-paths = [\"/etc/passwd\"]",
                "read /etc/passwd",
                "EINVAL",
                217,
            ),
            (
                "environment-file = [\"/nowhere\"]",
                "environment-file /nowhere",
                "ENOENT",
                241,
            ),
            ("runtime-directory = [\"way\"]", "runtime-directory WAY", "ENOTDIR", 233),
            ("state-directory = [\"way\"]", "state-directory WAY", "ENOTDIR", 238),
            ("cache-directory = [\"way\"]", "cache-directory WAY", "ENOTDIR", 239),
            ("logs-directory = [\"way\"]", "logs-directory WAY", "ENOTDIR", 240),
            (
                "credentials = { key = \"/nowhere\" }",
                "credentials /nowhere",
                "ENOENT",
                243,
            ),
            (
                "[[mount]]\ntarget = \"/x\"\nsource = \"/nowhere\"",
                "mount /x",
                "ENOENT",
                226,
            ),
            (
                "[[mount]]\ntarget = \"/x\"\ntype = \"nosuch\"",
                "mount /x",
                "ENODEV",
                226,
            ),
            (
                "[isolation]\nread-only-paths = [\"/nowhere\"]",
                "read-only-paths /nowhere",
                "ENOENT",
                226,
            ),
            (
                "[isolation]\ntime = { monotonic = \"-100000d\" }",
                "time",
                "ERANGE",
                226,
            ),
        ],
    },
    Group {
        without: "capabilities = [\"CAP_DAC_OVERRIDE\", \"CAP_KILL\"]",
        cases: &[
            ("nice = -5", "nice", "EACCES", 201),
            ("oom-score-adj = -500", "oom-score-adj", "EACCES", 206),
            (
                "cpu-scheduling-policy = \"fifo\"",
                "cpu-scheduling-policy",
                "EPERM",
                214,
            ),
            (
                "io-scheduling-class = \"realtime\"",
                "io-scheduling-class",
                "EPERM",
                211,
            ),
            ("user = 7", "groups", "EPERM", 216),
        ],
    },
    Group {
        without: "seccomp = { deny = [\"close_range\"], errno = \"ENOSYS\" }",
        cases: &[("", "descriptors", "ENOSYS", 202)],
    },
    Group {
        without: "seccomp = { deny = [\"setsid\"], errno = \"ENOSYS\" }",
        cases: &[("", "session", "ENOSYS", 220)],
    },
    Group {
        without: "seccomp = { deny = [\"prctl\"], errno = \"EPERM\" }",
        cases: &[
            ("timer-slack = \"1ms\"", "timer-slack", "EPERM", 212),
            ("", "capabilities", "EPERM", 218),
        ],
    },
    Group {
        without: "seccomp = { deny = [\"personality\"], errno = \"EPERM\" }",
        cases: &[(NATIVE, "personality", "EPERM", 230)],
    },
    Group {
        without: "restrict-address-families = [\"~AF_INET\"]",
        cases: &[("[network]\nmode = \"none\"", "loopback", "EAFNOSUPPORT", 225)],
    },
    Group {
        without: "seccomp = { deny = [\"sethostname\"], errno = \"EPERM\" }",
        cases: &[("[isolation]\nhostname = \"web\"", "hostname", "EPERM", 226)],
    },
    Group {
        without: "seccomp = { deny = [\"execveat\"], errno = \"ENOSYS\" }",
        cases: &[("[isolation]\npid = true", "exec reaper", "ENOSYS", 203)],
    },
    Group {
        without: "seccomp = { deny = [\"unshare\"], errno = \"EPERM\" }",
        cases: &[("[isolation]\ncgroup = true", "namespace cgroup", "EPERM", 226)],
    },
];

const NATIVE: &str = if cfg!(target_arch = "aarch64") {
    "[isolation]\npersonality = \"arm64\""
} else {
    "[isolation]\npersonality = \"x86-64\""
};

/// Steps that nothing here can make fail, with why.
const OTHERS: &[(&str, &str)] = &[
    (
        "input",
        "a descriptor that is open is copied, a file in memory is made as svcd makes its own, and it needs /dev/null too",
    ),
    (
        "no-new-privileges",
        "the system call is that of the capabilities before it",
    ),
    ("dynamic-user", "all of its 4,336 users have to be there"),
    (
        "address",
        "another unit has it: bridge::what_another_has_is_refused_by_name",
    ),
    ("publish", "another has it: bridge::what_another_has_is_refused_by_name"),
];

#[test]
fn each_step_that_can_fail_is_told_apart() {
    if !is_root() {
        return skip(
            "each_step_that_can_fail_is_told_apart",
            "it takes root to take something from svcd",
        );
    }
    std::thread::scope(|scope| {
        for group in GROUPS {
            scope.spawn(|| fails(group));
        }
    });
}

fn fails(group: &Group) {
    let named = |nth: usize| format!("unit{nth}");
    let units: Vec<_> = group
        .cases
        .iter()
        .enumerate()
        .map(|(nth, case)| (named(nth), unit(case.0)))
        .collect();
    let inner = Inner::start(group.without, "", &units);
    for root in [
        "run/directories",
        "state/directories/state",
        "state/directories/cache",
        "log/.directories",
    ] {
        fs::create_dir_all(inner.place.join(root)).unwrap();
        fs::write(inner.place.join(root).join("way"), "").unwrap();
    }
    for (nth, (keys, step, errno, code)) in group.cases.iter().enumerate() {
        let name = named(nth);
        let done = inner.svc(&["start", &name]);
        assert_ne!(done.code, 0, "{keys}: {}", done.err);
        let status = inner.status(&name);
        let told = status["failed-step"].as_str().unwrap_or_default();
        match step.strip_suffix(" WAY") {
            Some(step) => assert!(
                told.starts_with(&format!("{step} /")) && told.ends_with("/way"),
                "{status:#}"
            ),
            None => assert_eq!(told, *step, "{status:#}"),
        }
        assert_eq!(
            (&status["errno"], &status["step-exit-code"], &status["result"]),
            (&(*errno).into(), &(*code).into(), &"spawn".into()),
            "{keys}: {status:#}"
        );
        assert!(
            status["exit-code"].is_null() && status["main-pid"].is_null(),
            "{status:#}"
        );
    }
}

/// A service of no profile that asks for this.
fn unit(keys: &str) -> String {
    let once = "[restart]\npolicy = \"no\"\n";
    let sleeper = if keys.starts_with("exec-start") {
        "[service]\n"
    } else {
        SLEEPER
    };
    let (service, tables) = match keys.find('[').filter(|at| *at == 0 || keys[..*at].ends_with('\n')) {
        Some(at) => keys.split_at(at),
        None => (keys, ""),
    };
    let own = ["inaccessible", "read-only", "[[mount]]", "credentials"];
    let mount = if own.iter().any(|key| keys.contains(key)) {
        "mount = true\n"
    } else {
        ""
    };
    let uts = if keys.contains("hostname") { "uts = true\n" } else { "" };
    let isolation = format!("{PLAIN}{mount}{uts}");
    match tables.strip_prefix("[isolation]\n") {
        Some(more) => format!("{sleeper}{service}\n{once}{isolation}{more}\n"),
        None => format!("{sleeper}{service}\n{once}{isolation}{tables}\n"),
    }
}

/// A step that gets an exit code of its own needs a case, or a reason why there is none.
#[test]
fn every_step_has_its_case() {
    let first = |step: &'static str| step.split(' ').next().unwrap_or_default();
    let here = GROUPS.iter().flat_map(|group| group.cases).map(|case| first(case.1));
    let keys = TESTED.iter().flat_map(|lack| lack.keys).copied().flatten();
    let told: BTreeSet<_> = here.chain(keys.map(|case| case.1)).collect();
    let why_not: BTreeSet<_> = OTHERS.iter().map(|(step, _)| *step).collect();
    assert!(told.is_disjoint(&why_not));
    let missing: Vec<_> = EXIT_CODES
        .iter()
        .filter(|(step, _)| !told.contains(step) && !why_not.contains(step))
        .collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}
