//! What can be typed behind `svc run` and `svc exec`; the names are Docker's where it has one.

use std::ffi::OsString;

use clap::Args;

// A unit as flags. No rustdoc: it would be the help text of the verb.
#[allow(missing_docs)]
#[derive(Debug, Args)]
#[command(override_usage = "svc run [OPTIONS] IMAGE|DIR [COMMAND]...\n       svc run [OPTIONS] -- COMMAND...")]
pub struct Run {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub streams: Streams,
    /// Do not wait for it: what it prints goes to its log
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    pub detach: bool,
    /// Let nothing of the unit stay when it has ended, its log neither
    #[arg(long)]
    pub rm: bool,
    /// The unit's name [default: made of what it runs]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// After which ends it is started again [default: no]
    #[arg(long, value_name = "POLICY", requires = "detach", value_parser = ["no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "always", "unless-stopped"])]
    pub restart: Option<String>,
    /// Write the unit file to standard output instead
    #[arg(long)]
    pub print_unit: bool,
    /// A variable of its environment; without a value, ours
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub environment: Vec<String>,
    /// A directory or file of the machine's, at another place
    #[arg(short, long = "volume", value_name = "SOURCE:TARGET[:ro]")]
    pub volume: Vec<String>,
    /// The directory that it begins in
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Who it runs as, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// A port of the machine's that leads to one of its own
    #[arg(short, long, value_name = "[ADDRESS:]PORT:PORT[/udp]")]
    pub publish: Vec<String>,
    /// CPU time: "20%" of one, or 1.5 of them
    #[arg(long, visible_alias = "cpus", value_name = "SHARE")]
    pub cpu: Option<String>,
    /// Memory at most, such as 64M
    #[arg(short, long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Processes and threads at most
    #[arg(long, visible_alias = "pids-limit", value_name = "COUNT")]
    pub pids: Option<u64>,
    /// A capability besides those of the profile; ALL for every one
    #[arg(long = "cap", visible_alias = "cap-add", value_name = "CAPABILITY")]
    pub add: Vec<String>,
    /// A capability less; ALL for none
    #[arg(long = "cap-drop", value_name = "CAPABILITY")]
    pub drop: Vec<String>,
    /// host, none, bridge, path:PATH for one that is there, or join:UNIT for that of another unit
    #[arg(long, visible_alias = "network", value_name = "MODE")]
    pub net: Option<String>,
    /// Its host name
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// Users of its own: auto, identity, or a map INSIDE:OUTSIDE:COUNT
    #[arg(long, value_name = "MAP")]
    pub user_ns: Option<String>,
    /// A reaper is PID 1; with =false it is the command itself, which then gets no signal that it does not handle
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub init: bool,
    /// Nothing can be written but what is mounted
    #[arg(long)]
    pub read_only: bool,
    /// The program before the words of the command, instead of the image's
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// none, standard or strict
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// An image (one that is not here is fetched), or a directory with a / or . in front, as its root; then the command
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// clap takes the first `--` away, and behind `run` it tells a command from an image: so there are two of them.
pub fn keep_escape(typed: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut typed: Vec<OsString> = typed.into_iter().collect();
    let escape = typed.iter().position(|word| word == "--");
    if let Some(place) = escape
        && typed.iter().take(place).any(|word| word == "run")
    {
        typed.insert(place, "--".into());
    }
    typed
}

impl Run {
    /// A command on the machine's own root. None: the first word is another root.
    pub fn on_machine(&self) -> Option<&[String]> {
        self.words
            .split_first()
            .filter(|(first, _)| *first == "--")
            .map(|(_, rest)| rest)
    }

    /// All words, the root among them, as they were typed.
    pub fn words(&self) -> Vec<String> {
        let mut words = self.words.clone();
        let twice = words.iter().position(|word| word == "--");
        twice
            .filter(|place| words.get(place + 1).is_some_and(|next| next == "--"))
            .map(|place| words.remove(place));
        words
    }
}

// A command beside those of a unit. No rustdoc: it would be the help text of the verb.
#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct Exec {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub streams: Streams,
    /// A variable besides those of the unit; without a value, ours
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub environment: Vec<String>,
    /// The directory that it begins in [default: the unit's]
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Who it runs as, by name or number [default: the unit's user]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// A unit that runs
    pub unit: String,
    /// What to run in its namespaces and its cgroup
    #[arg(
        required = true,
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<String>,
}

// What the caller and the command say to each other. No rustdoc, as above.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Args)]
pub struct Streams {
    /// Standard input is ours
    #[arg(short, long)]
    pub interactive: bool,
    /// A terminal of its own; Ctrl-P Ctrl-Q leaves it alone
    #[arg(short, long)]
    pub tty: bool,
}
