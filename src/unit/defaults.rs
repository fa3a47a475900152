//! The defaults of the tables, in one place: what a unit has when its file is silent (INTERFACE section 2).

use std::time::Duration;

use super::filter::NamespaceKinds;
use super::*;

impl Default for Service {
    fn default() -> Self {
        Self {
            r#type: ServiceType::Exec,
            exec_start: Vec::new(),
            exec_condition: Vec::new(),
            exec_start_pre: Vec::new(),
            exec_start_post: Vec::new(),
            exec_reload: Vec::new(),
            exec_stop: Vec::new(),
            exec_stop_post: Vec::new(),
            reload_signal: None,
            remain_after_exit: false,
            user: None,
            group: None,
            supplementary_groups: Vec::new(),
            dynamic_user: false,
            umask: 0o022,
            working_directory: None,
            environment: Rc::default(),
            environment_file: Vec::new(),
            pass_environment: Vec::new(),
            unset_environment: Vec::new(),
            exec_search_path: Vec::new(),
            timeout_start: Some(Duration::from_secs(30)),
            timeout_stop: Some(Duration::from_secs(10)),
            watchdog: Duration::ZERO,
            notify_access: NotifyAccess::None,
            file_descriptor_store_max: 0,
            pid_file: None,
            runtime_max: None,
            kill: Kill::default(),
            ignore_sigpipe: true,
            success_exit_status: Vec::new(),
            standard_input: Input::Null,
            standard_input_text: Box::default(),
            standard_input_data: Box::default(),
            standard_output: Output::Log,
            standard_error: Output::Inherit,
            tty_path: "/dev/console".into(),
            scheduling: Scheduling::default(),
            rlimits: Vec::new(),
            directories: directories::Directories::default(),
            restart: Restart::default(),
            health: Health::default(),
            resources: Rc::new(Resources {
                devices: device::Devices::Standard(None),
                ..Resources::default()
            }),
            isolation: Rc::new(Isolation::of(Profile::Standard)),
            root: None,
            mounts: Vec::new(),
            network: Network::Host,
            connectivity: Rc::default(),
            sockets: Vec::new(),
            paths: Vec::new(),
            timers: Vec::new(),
            log: Log::default(),
        }
    }
}

impl Default for Kill {
    fn default() -> Self {
        Self {
            signal: Signal::TERM,
            mode: KillMode::ControlGroup,
            send_sigkill: true,
            send_sighup: false,
            final_signal: Signal::KILL,
            restart_signal: None,
        }
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            policy: RestartPolicy::OnFailure,
            delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(30),
            stable_after: Duration::from_secs(10),
            give_up: None,
            prevent_exit_status: Vec::new(),
            force_exit_status: Vec::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            max_size: Size(16 << 20),
            rate_limit: None,
            forward: Vec::new(),
        }
    }
}

/// Docker's default capabilities (moby, oci/caps/defaults.go): CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID,
/// SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD, AUDIT_WRITE, SETFCAP, by their numbers in
/// capabilities(7).
const CAPABILITIES_STANDARD: u64 = bits(&[0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31]);

const fn bits(numbers: &[u32]) -> u64 {
    let mut set = 0;
    let mut rest = numbers;
    while let [first, tail @ ..] = rest {
        set |= 1 << *first;
        rest = tail;
    }
    set
}

impl Isolation {
    /// What a profile sets before the unit's own keys change it.
    pub fn of(profile: Profile) -> Self {
        let on = profile != Profile::None;
        Self {
            profile,
            mount: on,
            pid: namespaces::Namespace::own(on),
            ipc: namespaces::Namespace::own(on),
            uts: on,
            cgroup: on,
            user: (profile == Profile::Strict).then_some(namespaces::UserNamespace::Auto),
            time: None,
            init: true,
            hostname: None,
            private_tmp: on,
            private_devices: on,
            protect_system: match profile {
                Profile::None => ProtectSystem::No,
                Profile::Standard => ProtectSystem::Full,
                Profile::Strict => ProtectSystem::Strict,
            },
            protect_kernel_tunables: on,
            view: View::default(),
            no_new_privileges: on,
            capabilities: match profile {
                Profile::None => None,
                Profile::Standard => Some(CAPABILITIES_STANDARD),
                Profile::Strict => Some(0),
            },
            ambient_capabilities: 0,
            seccomp: if on { Seccomp::Default } else { Seccomp::None },
            landlock: None,
            restrict_namespaces: if on {
                NamespaceKinds::all()
            } else {
                NamespaceKinds::NONE
            },
            lock_personality: on,
            memory_deny_write_execute: false,
            restrict_realtime: on,
            restrict_suid_sgid: on,
            restrict_address_families: None,
            system_call_architectures: Vec::new(),
            personality: None,
            keyring_mode: if on { KeyringMode::Private } else { KeyringMode::Inherit },
            best_effort: Vec::new(),
        }
    }
}
