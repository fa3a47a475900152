//! The consoles of a machine: which there are to log in on, and what stands there when nothing else can.

use std::ffi::CStr;
use std::fs;
use std::io;

use crate::sys::inherit;

/// Names below /dev of the terminals that the kernel has as consoles. The one that stands for whichever virtual terminal is
/// shown is the first of them here.
pub fn terminals() -> Vec<String> {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    of_list(&active)
}

fn of_list(active: &str) -> Vec<String> {
    let name = |name: &str| match name {
        "tty0" => "tty1".to_owned(),
        name => name.to_owned(),
    };
    // A name is only that, and what swallows all is no place to log in.
    let is_terminal =
        |name: &&str| *name != "ttynull" && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let mut names: Vec<String> = active.split_whitespace().filter(is_terminal).map(name).collect();
    names.dedup();
    names
}

/// Where svcd cannot come up as a machine's init: a shell takes its place, on the console, so that whoever is there can look.
/// Comes back only with why that cannot be had either.
pub fn become_shell() -> io::Error {
    const SHELL: &CStr = c"/bin/sh";
    inherit::reset_signals();
    let Err(errno) = nix::unistd::execv(SHELL, &[SHELL]);
    errno.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_for_each_console() {
        assert_eq!(of_list("tty0 ttyS0\n"), ["tty1", "ttyS0"]);
        assert_eq!(of_list("hvc0 ttynull ../x\n"), ["hvc0"]);
        assert_eq!(of_list(""), [] as [&str; 0]);
    }
}
