//! What each directive of systemd is to svc: a row for each that has one, by its section; systemd.directives(7).

use super::draft::Draft;
use super::{commands, isolation, links, several, streams};

/// What came of a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It means the same here.
    Kept,
    /// It is done otherwise: how.
    Changed(String),
    /// Nothing does it: why.
    Lost(String),
}

/// How a directive becomes a key.
#[derive(Clone, Copy)]
pub enum Rule {
    /// By its value alone.
    As(&'static str, &'static str, Form),
    /// By a function that may set several keys.
    By(fn(&mut Draft, &str) -> Fate),
    /// Nothing need be said: why.
    Needless(&'static str),
    /// svc has no such thing: why.
    Never(&'static str),
}

/// The form of a value.
#[derive(Clone, Copy)]
pub enum Form {
    /// As it is.
    Text,
    #[allow(missing_docs)]
    Texts,
    #[allow(missing_docs)]
    Bool,
    /// A whole number.
    Number,
    #[allow(missing_docs)]
    Duration,
    /// A duration or infinity.
    Limit,
    #[allow(missing_docs)]
    Size,
    #[allow(missing_docs)]
    Mode,
    #[allow(missing_docs)]
    Paths,
    /// Exit codes and signals.
    Exits,
    /// A user or group.
    Account,
    #[allow(missing_docs)]
    Accounts,
    /// A word, which may be another one here.
    Word(&'static [(&'static str, &'static str)]),
    /// A word, or a bool.
    BoolOr(&'static [&'static str]),
    #[allow(missing_docs)]
    Commands,
}

use Form::*;
use Rule::{As, By, Needless, Never};

/// The rule of a directive. None: it is not known.
pub fn find(section: &str, name: &str) -> Option<Rule> {
    if let Some(resource) = name.strip_prefix("Limit").filter(|_| section == "Service") {
        let known = crate::unit::value::RLIMITS
            .iter()
            .any(|(known, _)| *known == resource.to_ascii_lowercase());
        return known.then_some(By(|_, _| Fate::Kept));
    }
    let common = |rows: &[(&str, Rule)]| rows.iter().find(|(its, _)| *its == name).map(|(_, rule)| *rule);
    match section {
        "Unit" => common(UNIT),
        "Install" => common(INSTALL),
        "Service" => common(SERVICE)
            .or_else(|| common(RESOURCES))
            .or_else(|| common(isolation::RULES)),
        "Slice" => common(RESOURCES),
        "Socket" => common(several::SOCKET),
        "Timer" => common(several::TIMER),
        "Path" => common(several::PATH),
        "Mount" => common(several::MOUNT),
        _ => None,
    }
}

const NO_CONDITION: &str = "svc has no such condition";

#[rustfmt::skip]
const UNIT: &[(&str, Rule)] = &[
    ("Description", As("unit", "description", Text)),
    ("Documentation", As("unit", "documentation", Texts)),
    ("Requires", By(|draft, value| links::link(draft, "requires", value))),
    ("Requisite", By(|draft, value| links::changed(draft, "requires", value, "what is required is started too"))),
    ("Wants", By(|draft, value| links::link(draft, "wants", value))),
    ("Upholds", By(|draft, value| links::changed(draft, "wants", value, "what is wanted keeps itself running by its own [restart]"))),
    ("BindsTo", By(|draft, value| links::link(draft, "binds-to", value))),
    ("PartOf", By(|draft, value| links::link(draft, "part-of", value))),
    ("After", By(|draft, value| links::link(draft, "after", value))),
    ("Before", By(|draft, value| links::link(draft, "before", value))),
    ("Conflicts", By(|draft, value| links::link(draft, "conflicts", value))),
    ("OnFailure", By(|draft, value| links::link(draft, "on-failure", value))),
    ("OnSuccess", By(|draft, value| links::link(draft, "on-success", value))),
    ("StartLimitBurst", By(|draft, value| commands::start_limit(draft, "starts", value))),
    ("StartLimitIntervalSec", By(|draft, value| commands::start_limit(draft, "within", value))),
    ("StartLimitInterval", By(|draft, value| commands::start_limit(draft, "within", value))),
    ("ConditionPathExists", By(|draft, value| links::condition(draft, "condition", "path-exists", value))),
    ("ConditionPathIsDirectory", By(|draft, value| links::condition(draft, "condition", "path-is-directory", value))),
    ("ConditionFileNotEmpty", By(|draft, value| links::condition(draft, "condition", "file-not-empty", value))),
    ("ConditionDirectoryNotEmpty", By(|draft, value| links::condition(draft, "condition", "directory-not-empty", value))),
    ("ConditionKernelCommandLine", By(|draft, value| links::condition(draft, "condition", "kernel-command-line", value))),
    ("ConditionFileIsExecutable", By(|draft, value| links::executable(draft, "condition", value))),
    ("AssertPathExists", By(|draft, value| links::condition(draft, "assert", "path-exists", value))),
    ("AssertPathIsDirectory", By(|draft, value| links::condition(draft, "assert", "path-is-directory", value))),
    ("AssertFileNotEmpty", By(|draft, value| links::condition(draft, "assert", "file-not-empty", value))),
    ("AssertDirectoryNotEmpty", By(|draft, value| links::condition(draft, "assert", "directory-not-empty", value))),
    ("AssertKernelCommandLine", By(|draft, value| links::condition(draft, "assert", "kernel-command-line", value))),
    ("AssertFileIsExecutable", By(|draft, value| links::executable(draft, "assert", value))),
    ("ConditionCapability", Never(NO_CONDITION)),
    ("ConditionVirtualization", Never(NO_CONDITION)),
    ("ConditionPathExistsGlob", Never(NO_CONDITION)),
    ("ConditionPathIsSymbolicLink", Never(NO_CONDITION)),
    ("ConditionPathIsMountPoint", Never(NO_CONDITION)),
    ("ConditionPathIsReadWrite", Never(NO_CONDITION)),
    ("ConditionSecurity", Never(NO_CONDITION)),
    ("ConditionFirstBoot", Never(NO_CONDITION)),
    ("ConditionNeedsUpdate", Never(NO_CONDITION)),
    ("ConditionACPower", Never(NO_CONDITION)),
    ("ConditionHost", Never(NO_CONDITION)),
    ("ConditionArchitecture", Never(NO_CONDITION)),
    ("ConditionKernelVersion", Never(NO_CONDITION)),
    ("ConditionUser", Never(NO_CONDITION)),
    ("ConditionEnvironment", Never(NO_CONDITION)),
    ("RequiresMountsFor", Never("svc orders units after units; name the [mount] unit in `requires`")),
    ("WantsMountsFor", Never("svc orders units after units; name the [mount] unit in `wants`")),
    ("PropagatesReloadTo", Never("a reload is of one unit")),
    ("ReloadPropagatedFrom", Never("a reload is of one unit")),
    ("PropagatesStopTo", Never("say `part-of` in the other unit")),
    ("StopPropagatedFrom", By(|draft, value| links::changed(draft, "part-of", value, "a restart of it is one of this unit too"))),
    ("JoinsNamespaceOf", Never("[network] mode, [isolation] pid and ipc join one namespace each")),
    ("DefaultDependencies", Needless("svcd gives no unit dependencies that it does not name")),
    ("IgnoreOnIsolate", Needless("svc has no isolate")),
    ("AllowIsolate", Needless("svc has no isolate")),
    ("SourcePath", Needless("it says where a file was made from")),
    ("RefuseManualStart", Never("whoever may start units may start each")),
    ("RefuseManualStop", Never("whoever may stop units may stop each")),
    ("StopWhenUnneeded", Never("a unit stops when it is asked to")),
    ("JobTimeoutSec", Never("`timeout-start` limits the start; waiting for others has no end")),
    ("CollectMode", Needless("a unit that has its file is known")),
    ("FailureAction", Never("`on-failure` starts a unit, which may power off")),
    ("SuccessAction", Never("`on-success` starts a unit, which may power off")),
];

#[rustfmt::skip]
const INSTALL: &[(&str, Rule)] = &[
    ("WantedBy", By(links::wanted_by)),
    ("RequiredBy", By(|draft, value| links::changed(draft, "wanted-by", value, "who should fail with it says `requires`"))),
    ("UpheldBy", By(|draft, value| links::changed(draft, "wanted-by", value, "it keeps itself running by its own [restart]"))),
    ("Also", Needless("sockets and timers are tables of the unit; another unit has its own `wanted-by`")),
    ("Alias", Needless("a unit has one name, by which the units imported with it call it")),
    ("DefaultInstance", Never("an instance is named by who wants it")),
];

#[rustfmt::skip]
const SERVICE: &[(&str, Rule)] = &[
    ("Type", By(commands::service_type)),
    ("ExecStart", As("service", "exec-start", Commands)),
    ("ExecCondition", As("service", "exec-condition", Commands)),
    ("ExecStartPre", As("service", "exec-start-pre", Commands)),
    ("ExecStartPost", As("service", "exec-start-post", Commands)),
    ("ExecReload", As("service", "exec-reload", Commands)),
    ("ExecStop", As("service", "exec-stop", Commands)),
    ("ExecStopPost", As("service", "exec-stop-post", Commands)),
    ("ReloadSignal", As("service", "reload-signal", Text)),
    ("RemainAfterExit", As("service", "remain-after-exit", Bool)),
    ("PIDFile", By(commands::pid_file)),
    ("GuessMainPID", Needless("svcd does not guess")),
    ("BusName", Needless("svcd is on no bus: the service counts as ready when it has been executed")),
    ("PermissionsStartOnly", By(commands::permissions_start_only)),
    ("RootDirectoryStartOnly", Never("the root is that of all commands")),
    ("User", As("service", "user", Account)),
    ("Group", As("service", "group", Account)),
    ("SupplementaryGroups", As("service", "supplementary-groups", Accounts)),
    ("DynamicUser", As("service", "dynamic-user", Bool)),
    ("ExecSearchPath", By(commands::search_path)),
    ("UMask", As("service", "umask", Mode)),
    ("WorkingDirectory", By(commands::working_directory)),
    ("RootDirectory", As("root", "path", Text)),
    ("Environment", By(commands::environment)),
    ("EnvironmentFile", As("service", "environment-file", Paths)),
    ("PassEnvironment", As("service", "pass-environment", Texts)),
    ("UnsetEnvironment", As("service", "unset-environment", Texts)),
    ("TimeoutStartSec", As("service", "timeout-start", Limit)),
    ("TimeoutStopSec", As("service", "timeout-stop", Limit)),
    ("TimeoutSec", By(commands::timeout)),
    ("TimeoutAbortSec", Never("a watchdog's kill is at once")),
    ("RuntimeMaxSec", As("service", "runtime-max", Limit)),
    ("WatchdogSec", As("service", "watchdog", Limit)),
    ("NotifyAccess", As("service", "notify-access", Word(&[("none", "none"), ("main", "main"), ("exec", "exec"), ("all", "all")]))),
    ("KillMode", As("service", "kill-mode", Word(&[("control-group", "control-group"), ("mixed", "mixed"), ("process", "process"), ("none", "none")]))),
    ("KillSignal", As("service", "kill-signal", Text)),
    ("FinalKillSignal", As("service", "final-kill-signal", Text)),
    ("RestartKillSignal", As("service", "restart-kill-signal", Text)),
    ("WatchdogSignal", Never("a watchdog kills")),
    ("SendSIGKILL", As("service", "send-sigkill", Bool)),
    ("SendSIGHUP", As("service", "send-sighup", Bool)),
    ("IgnoreSIGPIPE", As("service", "ignore-sigpipe", Bool)),
    ("SuccessExitStatus", As("service", "success-exit-status", Exits)),
    ("Restart", By(commands::restart)),
    ("RestartSec", By(commands::restart_delay)),
    ("RestartPreventExitStatus", As("restart", "prevent-exit-status", Exits)),
    ("RestartForceExitStatus", As("restart", "force-exit-status", Exits)),
    ("RestartMaxDelaySec", As("restart", "max-delay", Duration)),
    ("RestartSteps", Needless("each delay is twice the one before")),
    ("StartLimitBurst", By(|draft, value| commands::start_limit(draft, "starts", value))),
    ("StartLimitInterval", By(|draft, value| commands::start_limit(draft, "within", value))),
    ("StandardInput", By(streams::input)),
    ("StandardInputText", By(streams::input_text)),
    ("StandardInputData", By(streams::input_data)),
    ("StandardOutput", By(|draft, value| streams::output(draft, "standard-output", value))),
    ("StandardError", By(|draft, value| streams::output(draft, "standard-error", value))),
    ("TTYPath", As("service", "tty-path", Text)),
    ("TTYReset", Needless("a terminal is reset at each start")),
    ("TTYVHangup", Needless("who had the terminal open before is hung up")),
    ("TTYVTDisallocate", Never("a console keeps what is on it")),
    ("SyslogIdentifier", Needless("a unit's log has the unit's name")),
    ("SyslogFacility", Never("lines have no facility")),
    ("SyslogLevel", Never("lines have no level")),
    ("SyslogLevelPrefix", Never("lines have no level")),
    ("LogRateLimitBurst", By(|draft, value| streams::rate_limit(draft, "lines", value))),
    ("LogRateLimitIntervalSec", By(|draft, value| streams::rate_limit(draft, "per", value))),
    ("LogLevelMax", Never("lines have no level")),
    ("LogNamespace", Needless("each unit has a log of its own")),
    ("Nice", As("service", "nice", Number)),
    ("OOMScoreAdjust", As("service", "oom-score-adj", Number)),
    ("CPUSchedulingPolicy", As("service", "cpu-scheduling-policy", Word(&[("other", "other"), ("batch", "batch"), ("idle", "idle"), ("fifo", "fifo"), ("rr", "rr")]))),
    ("CPUSchedulingPriority", As("service", "cpu-scheduling-priority", Number)),
    ("CPUSchedulingResetOnFork", Never("the policy is that of all its processes")),
    ("CPUAffinity", By(commands::cpu_affinity)),
    ("TimerSlackNSec", By(commands::timer_slack)),
    ("IOSchedulingClass", As("service", "io-scheduling-class", Word(&[("best-effort", "best-effort"), ("realtime", "realtime"), ("idle", "idle"), ("2", "best-effort"), ("1", "realtime"), ("3", "idle")]))),
    ("IOSchedulingPriority", As("service", "io-scheduling-priority", Number)),
    ("RuntimeDirectory", As("service", "runtime-directory", Texts)),
    ("RuntimeDirectoryMode", As("service", "runtime-directory-mode", Mode)),
    ("RuntimeDirectoryPreserve", As("service", "runtime-directory-preserve", BoolOr(&["restart"]))),
    ("StateDirectory", As("service", "state-directory", Texts)),
    ("StateDirectoryMode", As("service", "state-directory-mode", Mode)),
    ("CacheDirectory", As("service", "cache-directory", Texts)),
    ("CacheDirectoryMode", As("service", "cache-directory-mode", Mode)),
    ("LogsDirectory", As("service", "logs-directory", Texts)),
    ("LogsDirectoryMode", As("service", "logs-directory-mode", Mode)),
    ("ConfigurationDirectory", Never("/etc is its administrator's: make the directory once")),
    ("ConfigurationDirectoryMode", Never("/etc is its administrator's: make the directory once")),
    ("LoadCredential", By(streams::credential)),
    ("FileDescriptorStoreMax", As("service", "file-descriptor-store-max", Number)),
    ("NonBlocking", Never("a socket is as it was made")),
    ("Sockets", Needless("sockets are tables of the unit")),
    ("UtmpIdentifier", Never("svcd writes no utmp")),
    ("UtmpMode", Never("svcd writes no utmp")),
    ("CoredumpFilter", Never("svcd leaves /proc/PID/coredump_filter alone")),
];

#[rustfmt::skip]
const RESOURCES: &[(&str, Rule)] = &[
    ("Slice", By(commands::slice)),
    ("CPUQuota", As("resources", "cpu-quota", Text)),
    ("CPUQuotaPeriodSec", As("resources", "cpu-period", Duration)),
    ("CPUWeight", As("resources", "cpu-weight", Number)),
    ("AllowedCPUs", As("resources", "cpuset-cpus", Text)),
    ("AllowedMemoryNodes", As("resources", "cpuset-mems", Text)),
    ("MemoryMin", As("resources", "memory-min", Size)),
    ("MemoryLow", As("resources", "memory-low", Size)),
    ("MemoryHigh", As("resources", "memory-high", Size)),
    ("MemoryMax", As("resources", "memory-max", Size)),
    ("MemoryLimit", As("resources", "memory-max", Size)),
    ("MemorySwapMax", As("resources", "memory-swap-max", Size)),
    ("TasksMax", By(commands::tasks_max)),
    ("IOWeight", As("resources", "io-weight", Number)),
    ("OOMPolicy", As("resources", "oom-policy", Word(&[("kill", "kill"), ("stop", "stop"), ("continue", "continue")]))),
    ("Delegate", By(commands::delegate)),
    ("DevicePolicy", By(isolation::device_policy)),
    ("DeviceAllow", By(isolation::device_allow)),
    ("CPUAccounting", Needless("what a unit uses is always counted")),
    ("MemoryAccounting", Needless("what a unit uses is always counted")),
    ("TasksAccounting", Needless("what a unit uses is always counted")),
    ("IOAccounting", Needless("what a unit uses is always counted")),
    ("BlockIOAccounting", Needless("what a unit uses is always counted")),
    ("IPAccounting", Never("packets are not counted by unit")),
    ("IPAddressAllow", Never("svc filters no packets: nftables can, by net-classid")),
    ("IPAddressDeny", Never("svc filters no packets: nftables can, by net-classid; or network mode none")),
    ("CPUShares", Never("say cpu-weight, which has another scale")),
    ("ManagedOOMPreference", Never("there is no oomd")),
    ("ManagedOOMSwap", Never("there is no oomd")),
    ("ManagedOOMMemoryPressure", Never("there is no oomd")),
];
