//! The terminal of a command whose standard input is one: a session of its own, and nobody else's before it.
//! termios(3), ioctl_tty(2), and systemd.exec(5) for what `TTYPath=`, `TTYReset=` and `TTYVHangup=` do.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::sys::termios::{ControlFlags, InputFlags, LocalFlags, OutputFlags, SetArg, tcgetattr, tcsetattr};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::ioctl_tiocsctty;

/// Opens a terminal, and makes it nobody's controlling one. The line of a modem is not waited for.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(path, flags, Mode::empty())?;
    if !nix::unistd::isatty(&terminal).unwrap_or(false) {
        return Err(Errno::NOTTY.into());
    }
    rustix::io::ioctl_fionbio(&terminal, false)?;
    Ok(terminal)
}

/// Opens a terminal as the controlling one of the caller's session, which must be fresh. Whoever still has it open from
/// before is cut off, so that nobody reads what is typed or writes what looks like ours; and it is set as `stty sane`
/// sets it. The caller ignores SIGHUP meanwhile.
///
/// # Errors
/// EBUSY: another session has it.
pub fn take(path: &Path) -> io::Result<OwnedFd> {
    let terminal = open(path)?;
    control(&terminal)?;
    match crate::sys::terminal::hang_up(&terminal) {
        Ok(()) => {
            let terminal = open(path)?;
            control(&terminal)?;
            make_sane(&terminal)?;
            Ok(terminal)
        }
        // Only the machine's own root may: in a container the terminal is taken as it is.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            make_sane(&terminal)?;
            Ok(terminal)
        }
        Err(error) => Err(error),
    }
}

fn control(terminal: &OwnedFd) -> io::Result<()> {
    match ioctl_tiocsctty(terminal) {
        // As another session's own it is refused like anything forbidden, which tells people nothing.
        Err(Errno::PERM) => Err(Errno::BUSY.into()),
        other => Ok(other?),
    }
}

fn make_sane(terminal: &OwnedFd) -> io::Result<()> {
    let mut modes = tcgetattr(terminal)?;
    modes.input_flags |= InputFlags::BRKINT | InputFlags::ICRNL | InputFlags::IXON | InputFlags::IMAXBEL;
    modes.input_flags -= InputFlags::IGNBRK | InputFlags::INLCR | InputFlags::IGNCR | InputFlags::IXOFF;
    modes.output_flags |= OutputFlags::OPOST | OutputFlags::ONLCR;
    modes.output_flags -= OutputFlags::OCRNL | OutputFlags::ONOCR | OutputFlags::ONLRET;
    modes.control_flags |= ControlFlags::CREAD;
    let local = [
        LocalFlags::ISIG,
        LocalFlags::ICANON,
        LocalFlags::IEXTEN,
        LocalFlags::ECHO,
        LocalFlags::ECHOE,
        LocalFlags::ECHOK,
        LocalFlags::ECHOCTL,
        LocalFlags::ECHOKE,
    ];
    local.into_iter().for_each(|flag| modes.local_flags |= flag);
    modes.local_flags -= LocalFlags::ECHONL | LocalFlags::NOFLSH | LocalFlags::TOSTOP;
    Ok(tcsetattr(terminal, SetArg::TCSANOW, &modes)?)
}

/// What `$TERM` says of a terminal where nobody knows better: the kernel's own are `linux`, and whatever is at the end of
/// a line understands a VT220; systemd.exec(5). /dev/console is the last of those that the kernel lists.
pub fn kind(path: &Path) -> &'static str {
    let name = path.strip_prefix("/dev").unwrap_or(path).to_string_lossy().into_owned();
    let active = |_| fs::read_to_string("/sys/class/tty/console/active").ok();
    let name = Some(&name)
        .filter(|name| *name == "console")
        .and_then(active)
        .and_then(|list| list.split_whitespace().next_back().map(str::to_owned))
        .unwrap_or(name);
    let number = name.strip_prefix("tty").unwrap_or("x");
    if number.bytes().all(|byte| byte.is_ascii_digit()) {
        "linux"
    } else {
        "vt220"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_terminal_is_none() {
        let of = |path: &str| open(Path::new(path)).unwrap_err().raw_os_error();
        assert_eq!(of("/dev/null"), Some(libc::ENOTTY));
        assert_eq!(of("/dev/there-is-none"), Some(libc::ENOENT));
    }

    #[test]
    fn kinds() {
        assert_eq!(kind(Path::new("/dev/tty1")), "linux");
        assert_eq!(kind(Path::new("/dev/tty")), "linux");
        assert_eq!(kind(Path::new("/dev/ttyS0")), "vt220");
        assert_eq!(kind(Path::new("/dev/hvc0")), "vt220");
        assert_eq!(kind(Path::new("/dev/pts/3")), "vt220");
    }
}
