//! svcd(8): its flags, and what it takes and gives beside them.

use svc::supervisor::flags::FLAGS;

use super::page::Page;

pub fn page() -> String {
    let mut page = Page::new(
        "svcd",
        "8",
        "the supervisor of svc: runs units, and is the init of a machine",
    );
    page.heading("SYNOPSIS");
    page.paragraph("`svcd` [FLAG VALUE]...");
    page.heading("DESCRIPTION");
    page.paragraph(
        "svcd reads unit files (`svc.unit`(5)), starts the target that boots with all that it wants, keeps services up, \
         and ends what they leave behind. It is asked and told through its control socket, by `svc`(1) or by any varlink \
         client. Started by hand or by another supervisor it is a program like others, and any number of them can run \
         side by side, each with directories and a cgroup of its own. As the first process of a machine it is its init, \
         as that of a pid namespace the init of a container.",
    );
    page.heading("OPTIONS");
    for flag in FLAGS {
        let text = format!("{}.", capitalized(flag.doc));
        page.item(format!("{} {}", flag.name, flag.value).trim(), &text);
        if !flag.default.is_empty() {
            page.further(&format!("Default: {}", flag.default));
        }
    }
    settings(&mut page);
    page.heading("SIGNALS");
    for (signals, text) in [
        (
            "SIGTERM, SIGINT",
            "Stops every unit in reverse order, and ends. A machine's init reboots: SIGINT is Ctrl-Alt-Del, SIGTERM what busybox's reboot sends.",
        ),
        ("SIGHUP", "Reads the unit files again."),
        (
            "SIGRTMIN+25",
            "Goes on as the program that is on disk now, as svc reexec has it do: units, jobs and clients do not notice.",
        ),
        (
            "SIGUSR1, SIGUSR2",
            "As a machine's init: halts it, or powers it off, as busybox's halt and poweroff ask. As a container's first process: for its main unit.",
        ),
        (
            "SIGPWR, SIGRTMIN+4",
            "As the first process: powers the machine off, or ends the container.",
        ),
        (
            "SIGRTMIN+3, SIGRTMIN+5",
            "As the first process: halts the machine, or reboots it.",
        ),
    ] {
        page.item(signals, text);
    }
    network(&mut page);
    triggers(&mut page);
    environment(&mut page);
    page.heading("FILES");
    for (path, text) in [
        ("/etc/svc/svcd.toml", "The settings."),
        (
            "/run/svc/control.sock",
            "The control socket. Root may ask for everything, the group `svc` may read.",
        ),
        (
            "/run/svc/state-dir",
            "A link to the directory of its state, for as long as it answers: `svc run` finds images by it.",
        ),
        (
            "/run/svc/transient/NAME.toml",
            "A unit that `svc run` has made. It lasts until the next boot, or until the file is removed.",
        ),
        ("/var/lib/svc", "State that outlives the boot."),
        (
            "/var/lib/svc/generations/N.json",
            "A set of unit files that was put in force, with their texts: the last 20, and the last good one.",
        ),
        (
            "/var/lib/svc/history, history.old",
            "What happened to units, a move in each line: `svc history` tells it. Of 1 MiB each.",
        ),
        (
            "/var/lib/svc/timers/NAME",
            "When a unit with a persistent timer was run by it last, or began to wait.",
        ),
        (
            "/var/log/svc/UNIT/",
            "The output of a unit, as text files that the oldest lines fall out of.",
        ),
    ] {
        page.item(path, text);
    }
    page.heading("EXIT STATUS");
    page.paragraph(
        "0 where it was told to end, 1 where it cannot go on, with the reason on standard error, 2 for wrong usage.",
    );
    page.see_also(&["svc(1)", "svc.unit(5)", "cgroups(7)", "namespaces(7)"]);
    page.render()
}

fn settings(page: &mut Page) {
    page.heading("SETTINGS");
    page.paragraph("The settings file is TOML. An unknown key is an error; an absent file is all defaults.");
    for (key, text) in [
        ("default-target = \"default\"", "The target that boots."),
        (
            "[reload] mode = \"auto\" | \"manual\"",
            "Whether an edited unit file is taken over by itself once it is valid, or by `svc apply` alone.",
        ),
        (
            "[deploy] probation = \"30s\"",
            "For so long a generation, which is a set of unit files that was put in force, has to show that it is good: each \
             apply and each edit that is taken over makes one. When a unit that was up before keeps failing under it, or \
             the machine goes down without notice, the last good one takes its place, over boots too, until the next apply \
             or edit. `svc generations` shows why; \"0s\" lets each stay.",
        ),
        (
            "[log] budget = \"1G\"",
            "What the logs of all units may take on the disk together.",
        ),
        (
            "[network] bridge = \"svc0\"",
            "The bridge that units with `mode = \"bridge\"` are on, and the name of svcd's tables of nftables. Supervisors of one \
             network have a bridge each.",
        ),
        (
            "[network] subnet = \"10.88.0.0/16\"",
            "The IPv4 addresses of the bridge, which has the first, and of the units on it; \"none\": none of this family.",
        ),
        ("[network] subnet6 = \"fd73:7663::/64\"", "The IPv6 addresses likewise."),
        (
            "[network] links = { eth0 = { address = [\"192.0.2.5/24\"], gateway = [\"192.0.2.1\"], dhcp = true } }",
            "As a machine's init: a link of the machine, which is up with these addresses before the first unit. With dhcp an \
             instance of the unit dhcp@ asks for them. Without any such table `ip=` on the kernel's command line counts. The unit \
             network-online is ready once the machine has a default route.",
        ),
        (
            "[shutdown] timeout = \"90s\"",
            "All of a shutdown takes no longer: units have two thirds of it to stop, in reverse order; what is left is \
             ended, and file systems are unmounted, in the last third.",
        ),
        (
            "[container] main = \"web\"",
            "As a container's PID 1: the unit that the container is for. When it has ended for good, so does the \
             container, with its exit status; SIGUSR1, SIGUSR2, SIGWINCH and SIGQUIT are passed on to it.",
        ),
        (
            "[boot] modules = [\"loop max_loop=4\"]",
            "As a machine's init: the kernel modules to load, each after what it depends on, with its parameters.",
        ),
        (
            "[boot] hostname = \"edge\"",
            "As a machine's init: its name. Absent: the first line of /etc/hostname.",
        ),
        (
            "[boot] sysctl = { \"net.ipv4.ip_forward\" = 1 }",
            "As a machine's init: kernel settings by their names below /proc/sys; sysctl.d(5).",
        ),
        (
            "[boot] timezone = \"Europe/Berlin\"",
            "As a machine's init: what /etc/localtime is made to link to. Absent: as it is.",
        ),
        (
            "[boot] cgroup = \"v2\" | \"v1\"",
            "As a machine's init: which control groups to mount; `svc.cgroup=` on the kernel's command line goes before.",
        ),
    ] {
        page.item(key, text);
    }
}

fn network(page: &mut Page) {
    page.heading("NETWORK");
    page.paragraph(
        "A unit with `mode = \"bridge\"` has a network namespace with a link, eth0, whose other end is a port of svcd's bridge. \
         The bridge is made for the first such unit and goes with the last. Its address, recorded in the state directory, is \
         the unit's for as long as there is a file of it; all units on the bridge are in each other's /etc/hosts, as long as \
         they have a view of files of their own (mount = true) and a file of that name to see it at.",
    );
    page.paragraph(
        "What a unit sends to another passes through the machine, which forwards it: so `allow` and `deny` hold between units as \
         they do towards the outside, and broadcasts reach nobody. What leaves the bridge for the outside has the machine's \
         address. From outside only published ports are reached; who comes so keeps its address. svcd refuses \
         one that a process or another unit has when the unit starts.",
    );
    page.paragraph(
        "svcd turns forwarding on for the machine, and where it does so for IPv6 it keeps links that take routers' \
         advertisements doing so (accept_ra = 2). Its rules are in the tables `inet` and `bridge` of nftables that have the \
         bridge's name; each change replaces both at once, and no other table is looked at. A kernel without nftables has \
         units on the bridge that have no rules, and refuses the others by the key.",
    );
    page.paragraph(
        "On such a kernel a proxy leads to the published ports, and on every kernel to those of ::1, from which the kernel \
         sends nothing over a link. It is a process for each unit that publishes, svc-proxy, in the unit's cgroup and network \
         namespace, without capabilities; it is none of the unit's processes, and svcd makes another where it dies. svcd \
         itself holds the ports: who connects while the unit restarts waits. The unit sees its own address as the \
         client's. Who finds nobody that listens inside is reset. It has 4096 connections at the same time, after which \
         others wait, and 1024 clients of udp, of which it forgets one after two minutes of silence. `svc status` says which \
         of the two does it.",
    );
    page.paragraph(
        "Where the kernel hands bridged frames to its rules (net.bridge.bridge-nf-call-iptables = 1, as docker wants it), a unit \
         that asks for what the machine publishes of another on the same bridge is not answered: it reaches it by its name.",
    );
    page.paragraph("`svc doctor` tries what the kernel has of all this; `svc status`, `svc ps` and `svc stats` show what a unit has.");
}

fn triggers(page: &mut Page) {
    page.heading("TRIGGERS");
    page.paragraph(
        "A unit with a `[[timer]]`, a `[[path]]` or a `[[socket]]` that is lazy does not run because it is wanted: its state is \
         `waiting`, and a run begins when the time, the file or the connection comes. Then it waits again, also after a run \
         that failed. `svc start` by hand runs it at once, `svc stop` ends the run and the waiting. What it requires or wants \
         is started for its runs, not for its waiting; a unit that requires it has it once it waits. A time or a change that \
         comes while it runs is left out; a path that is there and a connection that nobody has accepted begin the next run.",
    );
    page.paragraph(
        "Sockets are opened on the machine's own network when the unit is first wanted, and stay open until it is stopped: over \
         its restarts, over `svc reexec`, and over a crash of svcd. Where svcd is killed outright, a service that runs keeps \
         its sockets, and the next svcd has them from it; those of a unit that waits are opened anew.",
    );
    page.paragraph(
        "More than 200 triggers within 2s, or 20 connections that begin a run, are a failure of the unit, which waits no more: \
         TriggerLimitBurst= and TriggerLimitIntervalSec= of systemd.socket(5) and systemd.path(5).",
    );
    page.paragraph(
        "`svc list --timers` tells when each timer comes next and when it came last, `svc list --sockets --paths` what is open and \
         watched, `svc why` which trigger began a run. A clock that is set, the end of a suspend, and another /etc/localtime are \
         noticed; times of the wall clock are looked at again then, and each comes at most once for all that was leapt over.",
    );
}

fn environment(page: &mut Page) {
    page.heading("ENVIRONMENT OF SERVICES");
    page.paragraph("A service inherits nothing of svcd's environment. Beside what its unit sets, its commands get:");
    for (name, text) in [
        ("PATH", "The directories of exec-search-path, or the usual ones."),
        (
            "USER, LOGNAME, HOME, SHELL",
            "Of the user that it runs as, from the passwd file of its root.",
        ),
        ("INVOCATION_ID", "A number of this run's own, in 32 hexadecimal digits."),
        (
            "LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES",
            "For the main process of a unit with sockets or stored descriptors: how many there are, from descriptor 3 on, and their names; \
             sd_listen_fds(3).",
        ),
        (
            "MAINPID",
            "The number of the main process, for exec-start-post, exec-reload and exec-stop.",
        ),
        (
            "NOTIFY_SOCKET",
            "Where it says what it has to say, where `notify-access` lets it be heard: sd_notify(3), or `svc notify` in a \
             shell. A service with files of its own sees that socket, and no other unit's, in notify below the runtime \
             directory. Messages of up to 4096 bytes are taken; READY, RELOADING, STATUS, MAINPID, WATCHDOG, WATCHDOG_USEC, \
             EXTEND_TIMEOUT_USEC, BARRIER, and with file-descriptor-store-max FDSTORE, FDSTOREREMOVE, FDNAME and FDPOLL mean \
             something.",
        ),
        (
            "FDSTORE",
            "For the main process of a unit with file-descriptor-store-max: that number. What it has stored comes after its \
             sockets. Over an exec of svcd all of it is kept; where svcd was killed, what the main process has open too, of \
             sockets and files.",
        ),
        (
            "WATCHDOG_USEC",
            "How often the main process has to say WATCHDOG=1, in microseconds.",
        ),
        (
            "SERVICE_RESULT, EXIT_CODE, EXIT_STATUS",
            "How the main process ended, for exec-stop and exec-stop-post; systemd.exec(5).",
        ),
        (
            "RUNTIME_DIRECTORY, STATE_DIRECTORY, CACHE_DIRECTORY, LOGS_DIRECTORY",
            "The directories of runtime-directory and its like, with `:` between: below /run, /var/lib, /var/cache and \
             /var/log. Where --runtime-dir, --state-dir or --log-dir says otherwise, they are below that: in directories, \
             directories/state, directories/cache and .directories.",
        ),
        (
            "CREDENTIALS_DIRECTORY",
            "Where its credentials are: credentials in the runtime directory, seen by the service alone.",
        ),
    ] {
        page.item(name, text);
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .map(|first| first.to_uppercase().to_string())
        .unwrap_or_default();
    first + letters.as_str()
}
