//! A command of a service.

/// One command with its prefixes taken off; systemd.service(5), "Command lines".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The program: absolute, or a name looked for in the search path.
    pub program: Box<str>,
    /// All words, the first included (another one after `@`), before `$VAR` is expanded.
    pub arguments: Vec<Box<str>>,
    /// `-`: failure is ignored.
    pub ignore_failure: bool,
    /// `+` and `!`.
    pub privileges: Privileges,
}

/// With what privileges a command runs; systemd.service(5), "Command lines".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Privileges {
    /// Those that the unit says.
    #[default]
    Own,
    /// `!`: as root, and else as the unit says.
    Root,
    /// `+`: all of svcd's, in the machine's own namespaces; only its cgroup, streams and environment are the unit's.
    Full,
}
