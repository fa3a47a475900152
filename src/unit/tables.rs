//! The tables of a checked tree as the parts of a unit, with every default filled in.

use super::decode::{each, find, get};
use super::device::Devices;
use super::directories::{Directories, Preserve};
use super::node::{Data, Table};
use super::read::*;
use super::read_isolation::*;
use super::read_resources::*;
use super::readiness::{health, readiness};
use super::scheduling::{CpuPolicy, IoClass};
use super::*;

pub fn service(tree: &Table) -> Service {
    let base = Service::default();
    let isolation = isolation(tree);
    let root = root(tree);
    let network = get(tree, "network", "mode", read_network::mode).unwrap_or(match isolation.profile {
        Profile::Strict => Network::None,
        Profile::None | Profile::Standard => Network::Host,
    });
    let list_of = |key| get(tree, "service", key, commands).unwrap_or_default();
    let flag = |key, default| get(tree, "service", key, boolean).unwrap_or(default);
    let time = |key, default| get(tree, "service", key, limit).unwrap_or(default);
    let word = |key| get(tree, "service", key, text);
    let (kind, watchdog, notify_access, file_descriptor_store_max) = readiness(tree);
    Service {
        r#type: kind,
        watchdog,
        notify_access,
        file_descriptor_store_max,
        pid_file: get(tree, "service", "pid-file", path),
        exec_start: exec_start(list_of("exec-start"), root.as_ref()),
        exec_condition: list_of("exec-condition"),
        exec_start_pre: list_of("exec-start-pre"),
        exec_start_post: list_of("exec-start-post"),
        exec_reload: list_of("exec-reload"),
        exec_stop: list_of("exec-stop"),
        exec_stop_post: list_of("exec-stop-post"),
        reload_signal: get(tree, "service", "reload-signal", signal),
        remain_after_exit: flag("remain-after-exit", false),
        user: get(tree, "service", "user", account),
        group: get(tree, "service", "group", account),
        supplementary_groups: get(tree, "service", "supplementary-groups", |node| list(node, account))
            .unwrap_or_default(),
        dynamic_user: flag("dynamic-user", false),
        umask: get(tree, "service", "umask", mode).unwrap_or(base.umask),
        working_directory: get(tree, "service", "working-directory", path),
        environment: Rc::new(get(tree, "service", "environment", map).unwrap_or_default()),
        environment_file: get(tree, "service", "environment-file", paths).unwrap_or_default(),
        pass_environment: get(tree, "service", "pass-environment", texts).unwrap_or_default(),
        unset_environment: get(tree, "service", "unset-environment", texts).unwrap_or_default(),
        exec_search_path: search_path(tree),
        timeout_start: time("timeout-start", base.timeout_start),
        timeout_stop: time("timeout-stop", base.timeout_stop),
        runtime_max: time("runtime-max", None),
        kill: kill(tree),
        ignore_sigpipe: flag("ignore-sigpipe", true),
        success_exit_status: get(tree, "service", "success-exit-status", exits).unwrap_or_default(),
        standard_input: input(tree),
        standard_input_text: input_text(word("standard-input-text").unwrap_or_default()),
        standard_input_data: get(tree, "service", "standard-input-data", base64).unwrap_or_default(),
        standard_output: get(tree, "service", "standard-output", output).unwrap_or(Output::Log),
        standard_error: get(tree, "service", "standard-error", output).unwrap_or(Output::Inherit),
        tty_path: get(tree, "service", "tty-path", path).unwrap_or(base.tty_path),
        scheduling: scheduling(tree),
        rlimits: get(tree, "service", "rlimits", rlimits).unwrap_or_default(),
        directories: directories(tree),
        restart: restart(tree),
        health: health(tree),
        resources: Rc::new(service_resources(tree, &isolation)),
        isolation: Rc::new(isolation),
        root,
        mounts: inner_mounts(tree),
        network,
        connectivity: Rc::new(read_network::connectivity(tree)),
        sockets: read_triggers::sockets(tree),
        paths: read_triggers::paths(tree),
        timers: read_triggers::timers(tree),
        log: log(tree),
    }
}

fn search_path(tree: &Table) -> Vec<PathBuf> {
    let written = get(tree, "service", "exec-search-path", paths).unwrap_or_default();
    written.into_iter().map(|listed| listed.path).collect()
}

fn input(tree: &Table) -> Input {
    let is_set = |key| find(tree, "service", key).is_some();
    match get(tree, "service", "standard-input", text).as_deref() {
        Some("tty") => Input::Tty,
        Some("socket") => Input::Socket,
        Some("data") => Input::Data,
        None if is_set("standard-input-text") || is_set("standard-input-data") => Input::Data,
        Some(_) | None => Input::Null,
    }
}

/// Lines, each with its end.
fn input_text(mut text: String) -> Box<str> {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.into()
}

/// One without a program stands for what an image says.
fn exec_start(commands: Vec<Command>, root: Option<&Root>) -> Vec<Command> {
    match root.map(|root| &root.from) {
        Some(RootFrom::Image(_)) if commands.is_empty() => vec![Command::default()],
        _ => commands,
    }
}

fn root(tree: &Table) -> Option<Root> {
    let layers = || get(tree, "root", "layers", paths).map(|all| all.into_iter().map(|layer| layer.path).collect());
    let image = || get(tree, "root", "image", text).map(|name| RootFrom::Image(name.into()));
    let directory = get(tree, "root", "path", path).map(RootFrom::Path);
    let from = directory.or_else(|| layers().map(RootFrom::Layers)).or_else(image)?;
    let writable = match get(tree, "root", "writable", text).as_deref() {
        Some("none") => Some(Writable::None),
        Some("tmpfs") => Some(Writable::Tmpfs),
        Some("persistent") => Some(Writable::Persistent),
        _ => (!matches!(from, RootFrom::Path(_))).then_some(Writable::Tmpfs),
    };
    let size = get(tree, "root", "size", size);
    Some(Root { from, writable, size })
}

fn kill(tree: &Table) -> Kill {
    let base = Kill::default();
    let flag = |key, default| get(tree, "service", key, boolean).unwrap_or(default);
    let signal_of = |key| get(tree, "service", key, signal);
    Kill {
        signal: signal_of("kill-signal").unwrap_or(base.signal),
        mode: match get(tree, "service", "kill-mode", text).as_deref() {
            Some("mixed") => KillMode::Mixed,
            Some("process") => KillMode::Process,
            Some("none") => KillMode::None,
            _ => KillMode::ControlGroup,
        },
        send_sigkill: flag("send-sigkill", base.send_sigkill),
        send_sighup: flag("send-sighup", base.send_sighup),
        final_signal: signal_of("final-kill-signal").unwrap_or(base.final_signal),
        restart_signal: signal_of("restart-kill-signal"),
    }
}

fn scheduling(tree: &Table) -> Scheduling {
    fn number<T: TryFrom<i64>>(tree: &Table, key: &str) -> Option<T> {
        let number = get(tree, "service", key, |node| whole(node, i64::MIN, i64::MAX))?;
        T::try_from(number).ok()
    }
    let word = |key| get(tree, "service", key, text);
    let policy = word("cpu-scheduling-policy").unwrap_or_default();
    let class = word("io-scheduling-class").unwrap_or_default();
    let policy = CpuPolicy::WORDS.iter().find(|(its, _)| *its == policy);
    let class = IoClass::WORDS.iter().find(|(its, _)| *its == class);
    Scheduling {
        nice: number(tree, "nice").unwrap_or(0),
        oom_score_adj: number(tree, "oom-score-adj").unwrap_or(0),
        cpu_scheduling_policy: policy.map_or_else(CpuPolicy::default, |(_, policy)| *policy),
        cpu_scheduling_priority: number(tree, "cpu-scheduling-priority"),
        cpu_affinity: get(tree, "service", "cpu-affinity", numbers),
        timer_slack: get(tree, "service", "timer-slack", duration),
        io_scheduling_class: class.map(|(_, class)| *class),
        io_scheduling_priority: number(tree, "io-scheduling-priority"),
    }
}

fn restart(tree: &Table) -> Restart {
    let base = Restart::default();
    let time = |key, default| get(tree, "restart", key, duration).unwrap_or(default);
    let delay = time("delay", base.delay);
    Restart {
        policy: match get(tree, "restart", "policy", text).as_deref() {
            Some("no") => RestartPolicy::No,
            Some("on-success") => RestartPolicy::OnSuccess,
            Some("on-abnormal") => RestartPolicy::OnAbnormal,
            Some("on-watchdog") => RestartPolicy::OnWatchdog,
            Some("always") => RestartPolicy::Always,
            _ => base.policy,
        },
        delay,
        max_delay: time("max-delay", base.max_delay.max(delay)),
        stable_after: time("stable-after", base.stable_after),
        give_up: get(tree, "restart", "give-up", give_up),
        prevent_exit_status: get(tree, "restart", "prevent-exit-status", exits).unwrap_or_default(),
        force_exit_status: get(tree, "restart", "force-exit-status", exits).unwrap_or_default(),
    }
}

pub fn resources(tree: &Table) -> Resources {
    let count = |key, max| get(tree, "resources", key, |node| whole(node, 1, max));
    let weight = |key| count(key, 10_000).and_then(|weight| u32::try_from(weight).ok());
    let bytes = |key| get(tree, "resources", key, size);
    let numbers = |key| get(tree, "resources", key, numbers);
    Resources {
        slice: get(tree, "resources", "slice", name),
        cpu_quota: get(tree, "resources", "cpu-quota", percent),
        cpu_period: get(tree, "resources", "cpu-period", duration),
        cpu_weight: weight("cpu-weight"),
        cpuset_cpus: numbers("cpuset-cpus"),
        cpuset_mems: numbers("cpuset-mems"),
        memory_min: bytes("memory-min"),
        memory_low: bytes("memory-low"),
        memory_high: bytes("memory-high"),
        memory_max: bytes("memory-max"),
        memory_swap_max: bytes("memory-swap-max"),
        oom_policy: match get(tree, "resources", "oom-policy", text).as_deref() {
            Some("continue") => OomPolicy::Continue,
            Some("stop") => OomPolicy::Stop,
            _ => OomPolicy::Kill,
        },
        pids_max: count("pids-max", i64::MAX).map(i64::unsigned_abs),
        io_weight: weight("io-weight"),
        io_max: get(tree, "resources", "io-max", io_max).unwrap_or_default(),
        devices: get(tree, "resources", "devices", devices).map_or(Devices::All, Devices::Only),
        hugetlb_max: get(tree, "resources", "hugetlb-max", hugetlb_max).unwrap_or_default(),
        rdma_max: get(tree, "resources", "rdma-max", rdma_max).unwrap_or_default(),
        misc_max: get(tree, "resources", "misc-max", misc_max).unwrap_or_default(),
        net_classid: get(tree, "resources", "net-classid", net_classid),
        net_priority: get(tree, "resources", "net-priority", net_priority).unwrap_or_default(),
        delegate: get(tree, "resources", "delegate", boolean).unwrap_or(false),
    }
}

/// Those of a service: its devices are the profile's where it says nothing of them.
fn service_resources(tree: &Table, isolation: &Isolation) -> Resources {
    let mut resources = resources(tree);
    if resources.devices == Devices::All && isolation.private_devices {
        let streams = ["standard-input", "standard-output", "standard-error"];
        let is_terminal = |key: &&str| get(tree, "service", key, text).as_deref() == Some("tty");
        let terminal = || get(tree, "service", "tty-path", path).unwrap_or(Service::default().tty_path);
        resources.devices = Devices::Standard(streams.iter().any(is_terminal).then(terminal));
    }
    resources
}

fn isolation(tree: &Table) -> Isolation {
    let base = Isolation::of(match get(tree, "isolation", "profile", text).as_deref() {
        Some("none") => Profile::None,
        Some("strict") => Profile::Strict,
        _ => Profile::Standard,
    });
    let flag = |key, default| get(tree, "isolation", key, boolean).unwrap_or(default);
    // What a passing user leaves must give nobody its number, so no file of it raises privileges (CVE-2019-3843).
    let passing = get(tree, "service", "dynamic-user", boolean).unwrap_or(false);
    Isolation {
        mount: flag("mount", base.mount),
        pid: get(tree, "isolation", "pid", namespace).unwrap_or(base.pid),
        ipc: get(tree, "isolation", "ipc", namespace).unwrap_or(base.ipc),
        uts: flag("uts", base.uts),
        cgroup: flag("cgroup", base.cgroup),
        user: get(tree, "isolation", "user", user_namespace).unwrap_or(base.user),
        time: get(tree, "isolation", "time", time_offsets),
        init: flag("init", base.init),
        hostname: get(tree, "isolation", "hostname", text).map(String::into_boxed_str),
        private_tmp: flag("private-tmp", base.private_tmp),
        private_devices: flag("private-devices", base.private_devices),
        protect_system: match find(tree, "isolation", "protect-system").map(|node| &node.data) {
            Some(Data::Bool(false)) => ProtectSystem::No,
            Some(Data::Bool(true)) => ProtectSystem::Yes,
            Some(Data::Text(word)) if word == "strict" => ProtectSystem::Strict,
            Some(_) => ProtectSystem::Full,
            None => base.protect_system,
        },
        protect_kernel_tunables: flag("protect-kernel-tunables", base.protect_kernel_tunables),
        view: view(tree),
        no_new_privileges: flag("no-new-privileges", base.no_new_privileges || passing),
        capabilities: get(tree, "isolation", "capabilities", capabilities).unwrap_or(base.capabilities),
        ambient_capabilities: get(tree, "isolation", "ambient-capabilities", ambient).unwrap_or_default(),
        seccomp: get(tree, "isolation", "seccomp", seccomp).unwrap_or(base.seccomp),
        landlock: get(tree, "isolation", "landlock", landlock).map(Box::new),
        restrict_namespaces: get(tree, "isolation", "restrict-namespaces", namespace_kinds)
            .unwrap_or(base.restrict_namespaces),
        lock_personality: flag("lock-personality", base.lock_personality),
        memory_deny_write_execute: flag("memory-deny-write-execute", base.memory_deny_write_execute),
        restrict_realtime: flag("restrict-realtime", base.restrict_realtime),
        restrict_suid_sgid: flag("restrict-suid-sgid", base.restrict_suid_sgid || passing),
        restrict_address_families: get(tree, "isolation", "restrict-address-families", socket_families),
        system_call_architectures: get(tree, "isolation", "system-call-architectures", architectures)
            .unwrap_or_default(),
        personality: match get(tree, "isolation", "personality", text).as_deref() {
            Some("x86-64") => Some(Personality::X86_64),
            Some("x86") => Some(Personality::X86),
            Some("arm64") => Some(Personality::Aarch64),
            Some("arm") => Some(Personality::Arm),
            _ => None,
        },
        keyring_mode: match get(tree, "isolation", "keyring-mode", text).as_deref() {
            Some("inherit") => KeyringMode::Inherit,
            Some("private") => KeyringMode::Private,
            Some("shared") => KeyringMode::Shared,
            _ => base.keyring_mode,
        },
        best_effort: get(tree, "isolation", "best-effort", texts).unwrap_or_default(),
        profile: base.profile,
    }
}

fn view(tree: &Table) -> View {
    let flag = |key| get(tree, "isolation", key, boolean).unwrap_or(false);
    let list = |key| get(tree, "isolation", key, paths).unwrap_or_default();
    View {
        protect_home: match find(tree, "isolation", "protect-home").map(|node| &node.data) {
            Some(Data::Bool(true)) => ProtectHome::Yes,
            Some(Data::Text(word)) if word == "read-only" => ProtectHome::ReadOnly,
            Some(Data::Text(word)) if word == "tmpfs" => ProtectHome::Tmpfs,
            Some(_) | None => ProtectHome::No,
        },
        protect_kernel_modules: flag("protect-kernel-modules"),
        protect_kernel_logs: flag("protect-kernel-logs"),
        protect_control_groups: flag("protect-control-groups"),
        protect_clock: flag("protect-clock"),
        protect_hostname: flag("protect-hostname"),
        protect_proc: match get(tree, "isolation", "protect-proc", text).as_deref() {
            Some("noaccess") => ProtectProc::Noaccess,
            Some("invisible") => ProtectProc::Invisible,
            Some("ptraceable") => ProtectProc::Ptraceable,
            _ => ProtectProc::Default,
        },
        read_only_paths: list("read-only-paths"),
        read_write_paths: list("read-write-paths"),
        inaccessible_paths: list("inaccessible-paths"),
        exec_paths: list("exec-paths"),
        no_exec_paths: list("no-exec-paths"),
    }
}

fn log(tree: &Table) -> Log {
    let base = Log::default();
    Log {
        max_size: get(tree, "log", "max-size", size).unwrap_or(base.max_size),
        rate_limit: get(tree, "log", "rate-limit", rate_limit),
        forward: get(tree, "log", "forward", |node| list(node, forward)).unwrap_or_default(),
    }
}

fn directories(tree: &Table) -> Directories {
    let base = Directories::default();
    let names = |key| get(tree, "service", key, texts).unwrap_or_default();
    let mode_of = |key, default| get(tree, "service", key, mode).unwrap_or(default);
    Directories {
        runtime_directory: names("runtime-directory"),
        runtime_directory_mode: mode_of("runtime-directory-mode", base.runtime_directory_mode),
        runtime_directory_preserve: match find(tree, "service", "runtime-directory-preserve").map(|node| &node.data) {
            Some(Data::Bool(true)) => Preserve::Yes,
            Some(Data::Text(_)) => Preserve::Restart,
            Some(_) | None => Preserve::No,
        },
        state_directory: names("state-directory"),
        state_directory_mode: mode_of("state-directory-mode", base.state_directory_mode),
        cache_directory: names("cache-directory"),
        cache_directory_mode: mode_of("cache-directory-mode", base.cache_directory_mode),
        logs_directory: names("logs-directory"),
        logs_directory_mode: mode_of("logs-directory-mode", base.logs_directory_mode),
        credentials: get(tree, "service", "credentials", map).unwrap_or_default(),
    }
}

/// One for each table, also where it is wrong.
fn inner_mounts(tree: &Table) -> Vec<InnerMount> {
    let one = |entries: &Table| {
        let of = |key: &str| entries.get(key).map(|(_, node)| node);
        let word = |key| of(key).and_then(|node| text(node).ok()).map(String::into_boxed_str);
        InnerMount {
            target: of("target").and_then(|node| path(node).ok()).unwrap_or_default(),
            source: word("source"),
            r#type: word("type").unwrap_or_else(|| InnerMount::BIND.into()),
            read_only: of("read-only").and_then(|node| boolean(node).ok()).unwrap_or(false),
            options: of("options").and_then(|node| texts(node).ok()).unwrap_or_default(),
        }
    };
    each(tree, "mount").map(one).collect()
}

pub fn mount(tree: &Table) -> Mount {
    let word = |key| get(tree, "mount", key, text).map(Into::into);
    Mount {
        r#type: word("type"),
        options: get(tree, "mount", "options", texts).unwrap_or_default(),
        ..Mount::new(
            word("what").unwrap_or_default(),
            get(tree, "mount", "where", path).unwrap_or_default(),
        )
    }
}
