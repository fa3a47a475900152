//! `[service]`: the commands, who runs them, where, and how they are stopped.

use super::*;

#[rustfmt::skip]
pub static SERVICE: &[Key] = &[
    key("service", "type", Word(&["exec", "notify", "notify-reload", "oneshot", "forking"]), Restart,
        "When the service counts as ready. exec: its program has been executed. notify: it has said READY=1 \
         (sd_notify(3)). notify-reload: likewise, and it says when a reload is done. oneshot: its last command has \
         ended with success. forking: its first process has ended, and left another one behind; systemd.service(5)."),
    key("service", "exec-start", Commands, Restart,
        "The main command; several, one after the other, only for a oneshot."),
    key("service", "exec-condition", Commands, Restart,
        "Run before anything else. Where it ends with 1 to 254, the unit is skipped; where with 255 or by a signal, \
         it has failed; systemd.service(5)."),
    key("service", "exec-start-pre", Commands, Restart,
        "Run before the main command, one after the other; one that fails ends the start."),
    key("service", "exec-start-post", Commands, Restart,
        "Run once the service is ready, one after the other."),
    key("service", "exec-reload", Commands, Live,
        "Run at svc reload, one after the other, with the main process in $MAINPID."),
    key("service", "exec-stop", Commands, Live,
        "Run at a stop, before any signal is sent."),
    key("service", "exec-stop-post", Commands, Live,
        "Run when all of the service is gone, after a failed start too."),
    key("service", "reload-signal", Signal, Live,
        "Sent to the main process at svc reload, instead of exec-reload."),
    key("service", "remain-after-exit", Bool, Restart,
        "The unit stays `running` after its main process has ended with success."),
    key("service", "pid-file", Path, Restart,
        "With type forking: the file, in the service's own root, that names the main process. A process outside the \
         unit's own cgroup is refused. Without it the main process is the only one left, or the only one that no other \
         has started."),
    key("service", "user", Account, Restart,
        "Who the commands run as: a name, looked up in the passwd file of the unit's own root, or a decimal number. A \
         user that is not there stops the start; there is no fall-back to root."),
    key("service", "group", Account, Restart,
        "The group the commands run as; by default the user's own."),
    key("service", "supplementary-groups", Accounts, Restart,
        "Groups besides those that the group file gives the user."),
    key("service", "dynamic-user", Bool, Restart,
        "A user and group of its own while it runs, of the numbers 61184 to 65519, with no-new-privileges and \
         restrict-suid-sgid; user is then what it is called, by default the unit's name; systemd.exec(5)."),
    key("service", "exec-search-path", Paths, Restart,
        "Where a command without a slash is looked for, and what $PATH is set to."),
    key("service", "umask", Mode, Restart,
        "The mask of the modes of new files; umask(2)."),
    key("service", "working-directory", Path, Restart,
        "Where the commands start; by default the root directory."),
    key("service", "environment", Map, Restart,
        "Variables for every command. A service gets $PATH, the variables of its user, these, and what svcd(8) \
         documents; it inherits nothing."),
    key("service", "environment-file", Paths, Restart,
        "Files of NAME=value lines, read at each start; later ones win, over `environment` too. A leading `-` makes \
         one optional; systemd.exec(5)."),
    key("service", "pass-environment", Texts, Restart,
        "Names of variables that are passed on from svcd's own environment."),
    key("service", "unset-environment", Texts, Restart,
        "Names of variables that are taken out after all others are set."),
    key("service", "timeout-start", Limit, Live,
        "How long it may take from the first command until it is ready."),
    key("service", "timeout-stop", Limit, Live,
        "How long each phase of a stop may take; after that the final signal follows."),
    key("service", "runtime-max", Limit, Live,
        "How long it may run; after that it is stopped, and has failed."),
    key("service", "watchdog", Limit, Restart,
        "A service that has sent no WATCHDOG=1 for this long, once it is ready, is sent SIGABRT and has failed with \
         the result `watchdog`; \"0s\" for none; sd_notify(3)."),
    key("service", "notify-access", Word(&["none", "main", "exec", "all"]), Restart,
        "Whose notifications are taken: nobody's, those of the main process, of all commands' own processes, or of \
         every process of the unit. \"main\" where type, watchdog or file-descriptor-store-max needs it, else \"none\"; sd_notify(3)."),
    key("service", "file-descriptor-store-max", Whole(0, 128), Restart,
        "How many descriptors svcd keeps for it: those that it sends along with FDSTORE=1 (sd_notify(3)) come back at \
         its next start, after those of its sockets, under the name of FDNAME= in $LISTEN_FDNAMES. They are let go when \
         it has come to rest; systemd.service(5)."),
    key("service", "kill-signal", Signal, Live,
        "The first signal of a stop; systemd.kill(5)."),
    key("service", "kill-mode", Word(&["control-group", "mixed", "process", "none"]), Live,
        "Who gets the signals. control-group: every process of the unit, both. mixed: the main process the first one, \
         all the final one. process: the main process alone. none: nobody, only exec-stop runs; systemd.kill(5)."),
    key("service", "send-sigkill", Bool, Live,
        "After timeout-stop, final-kill-signal follows."),
    key("service", "send-sighup", Bool, Live,
        "SIGHUP is sent right after the first signal, for shells."),
    key("service", "final-kill-signal", Signal, Live,
        "The last signal of a stop, after timeout-stop."),
    key("service", "restart-kill-signal", Signal, Live,
        "In place of kill-signal when the stop is part of a restart."),
    key("service", "ignore-sigpipe", Bool, Restart,
        "SIGPIPE is ignored when the commands begin."),
    key("service", "success-exit-status", Exits, Live,
        "Exit codes and signals that count as success, besides 0, SIGHUP, SIGINT, SIGTERM and SIGPIPE."),
    key("service", "standard-input", Word(&["null", "tty", "socket", "data"]), Restart,
        "Where standard input comes from: /dev/null, the terminal of tty-path, the connection, or data that the unit \
         holds. With tty the main command and those before it are a session of their own on the terminal, whoever had \
         it open before is hung up, and $TERM is set. With data each command reads standard-input-text and then \
         standard-input-data, from the beginning and to their end; where either is set, that is the default."),
    key("service", "standard-input-text", Text, Restart,
        "What is read from standard input. A newline is added where it does not end with one; systemd.exec(5)."),
    key("service", "standard-input-data", Base64, Restart,
        "Bytes that are read from standard input, after standard-input-text: in base64, in which white space counts for \
         nothing; systemd.exec(5)."),
    key("service", "standard-output", Output, Restart,
        "Where standard output goes: the unit's log, /dev/null, the terminal that standard input is or else where svcd's \
         own goes (inherit), the terminal of tty-path, the connection, or a file, truncated at each start (file:) or \
         written at its end (append:)."),
    key("service", "standard-error", Output, Restart,
        "As standard-output; `inherit` means where standard output goes."),
    key("service", "tty-path", Path, Restart,
        "The terminal of the `tty` kinds, such as /dev/ttyS0: the machine's, whatever /dev the service has."),
    key("service", "nice", Whole(-20, 19), Restart,
        "The scheduling priority, from the most favourable, -20, to the least; nice(2)."),
    key("service", "oom-score-adj", Whole(-1000, 1000), Restart,
        "How readily the kernel kills it when the machine runs out of memory: -1000 is never; /proc/PID/oom_score_adj \
         of proc(5)."),
    key("service", "cpu-scheduling-policy", Word(&["other", "batch", "idle", "fifo", "rr"]), Restart,
        "The scheduling policy of the kernel; sched(7)."),
    key("service", "cpu-scheduling-priority", Whole(1, 99), Restart,
        "The priority of the real-time policies, fifo and rr, from the lowest, 1, which is the default; sched(7)."),
    key("service", "cpu-affinity", Resource(super::Resource::Numbers), Restart,
        "The CPUs it may run on, such as \"0-3,8\"; sched_setaffinity(2)."),
    key("service", "timer-slack", Duration, Restart,
        "How late the kernel may let its timers be, to save power; PR_SET_TIMERSLACK of prctl(2)."),
    key("service", "io-scheduling-class", Word(&["best-effort", "realtime", "idle"]), Restart,
        "The class of its disk accesses; ioprio_set(2)."),
    key("service", "io-scheduling-priority", Whole(0, 7), Restart,
        "The priority within that class, from the highest, 0, to 7; 4 is the default; ioprio_set(2)."),
    key("service", "rlimits", Rlimits, Restart,
        "Limits of each process, such as { nofile = 65536, core = \"0:infinity\" }: one value for both, or soft:hard; \
         setrlimit(2)."),
    key("service", "runtime-directory", Texts, Restart,
        "Directories that are made under the runtime root before the start, owned by the user, named in \
         $RUNTIME_DIRECTORY, and removed at the stop; see svcd(8) for the roots; systemd.exec(5)."),
    key("service", "runtime-directory-mode", Mode, Restart,
        "The mode of the runtime directories."),
    key("service", "runtime-directory-preserve", BoolOr(&["restart"]), Restart,
        "Whether the runtime directories stay: never, always, or over a restart only."),
    key("service", "state-directory", Texts, Restart,
        "Directories that are made under the state root, owned by the user, named in $STATE_DIRECTORY, and stay; \
         systemd.exec(5)."),
    key("service", "state-directory-mode", Mode, Restart,
        "The mode of the state directories."),
    key("service", "cache-directory", Texts, Restart,
        "Directories that are made under the cache root, owned by the user, named in $CACHE_DIRECTORY, and stay; \
         systemd.exec(5)."),
    key("service", "cache-directory-mode", Mode, Restart,
        "The mode of the cache directories."),
    key("service", "logs-directory", Texts, Restart,
        "Directories that are made under the logs root, owned by the user, named in $LOGS_DIRECTORY, and stay; \
         systemd.exec(5)."),
    key("service", "logs-directory-mode", Mode, Restart,
        "The mode of the logs directories."),
    key("service", "credentials", Map, Restart,
        "Names to files: each, of at most 1 MiB, is copied into the directory that $CREDENTIALS_DIRECTORY names: in memory, \
         seen by the service alone, and readable by its user alone; systemd.exec(5)."),
];
