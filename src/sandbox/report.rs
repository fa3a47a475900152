//! The failed step of a child, over a pipe: an error number, the step with its object, a NUL, and more for people. The
//! number is negative where the step is a key that cannot be held here.

use std::fmt;
use std::os::fd::BorrowedFd;

/// A step that failed: `mount /data: ENOENT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepFailed {
    /// As errno(3); 0 where no system call failed.
    pub errno: i32,
    /// The step is a key that the kernel cannot hold for this unit, which only its files tell: `user`.
    pub unenforceable: bool,
    what: String,
    detail: String,
}

impl StepFailed {
    /// The step with its object: `mount /data`.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// More for people; may be empty.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// A step with its object, and the errno(3) that it failed with.
    pub fn new(what: impl Into<String>, errno: i32) -> Self {
        Self {
            errno,
            unenforceable: false,
            what: what.into(),
            detail: String::new(),
        }
    }

    /// With more for people.
    pub fn because(self, detail: String) -> Self {
        Self { detail, ..self }
    }

    /// A key that cannot be held here, and why; `errno` is not 0.
    pub fn unenforceable(key: &str, errno: i32, why: String) -> Self {
        Self {
            unenforceable: true,
            ..Self::new(key, errno).because(why)
        }
    }
}

/// Steps, each by the first word of [`StepFailed::what`] or by the key that refused the start, with the exit status that
/// systemd gives a process of which it failed; systemd.exec(5), "Process Exit Codes".
pub const EXIT_CODES: &[(&str, u8)] = &[
    ("chdir", 200),
    ("nice", 201),
    ("descriptors", 202),
    ("exec", 203),
    ("rlimit", 205),
    ("oom-score-adj", 206),
    ("input", 208),
    ("terminal", 208),
    ("output", 209),
    ("io-scheduling-class", 211),
    ("timer-slack", 212),
    ("cpu-scheduling-policy", 214),
    ("cpu-affinity", 215),
    ("group", 216),
    ("groups", 216),
    ("user", 217),
    ("read", 217),
    ("dynamic-user", 217),
    ("capabilities", 218),
    ("ambient-capabilities", 218),
    ("session", 220),
    ("error", 222),
    ("mode", 225),
    ("loopback", 225),
    ("network", 225),
    ("address", 225),
    ("publish", 225),
    ("no-new-privileges", 227),
    ("seccomp", 228),
    ("restrict-namespaces", 228),
    ("lock-personality", 228),
    ("memory-deny-write-execute", 228),
    ("restrict-realtime", 228),
    ("restrict-suid-sgid", 228),
    ("protect-clock", 228),
    ("system-call-architectures", 228),
    ("personality", 230),
    ("restrict-address-families", 232),
    ("runtime-directory", 233),
    ("keyring-mode", 237),
    ("state-directory", 238),
    ("cache-directory", 239),
    ("logs-directory", 240),
    ("environment-file", 241),
    ("credentials", 243),
];

/// Of the cgroup and of each limit.
const EXIT_CGROUP: u8 = 219;
/// Of mounts, namespaces, and all that a process sees by them.
const EXIT_NAMESPACE: u8 = 226;

/// The exit status of a failed step. `step` is [`StepFailed::what`], or a key that refused the start.
pub fn exit_code(step: &str) -> u8 {
    let word = step.split(' ').next().unwrap_or_default();
    match EXIT_CODES.iter().find(|(step, _)| *step == word) {
        Some((_, code)) => *code,
        None if is_of_cgroup(step) => EXIT_CGROUP,
        None => EXIT_NAMESPACE,
    }
}

fn is_of_cgroup(step: &str) -> bool {
    // Alone, it is the key of the namespace.
    step.starts_with("cgroup ") || crate::unit::keys::find("resources", step).is_some()
}

impl fmt::Display for StepFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.errno == 0 {
            Ok(())
        } else {
            write!(f, ": {:?}", nix::errno::Errno::from_raw(self.errno))
        }?;
        match &*self.detail {
            "" => Ok(()),
            detail => write!(f, ": {detail}"),
        }
    }
}

/// Longest report: one write(2) of no more than this is whole, or not there; pipe(7).
const REPORT_BYTES_MAX: usize = 4096;

/// Tells the parent, which may be gone.
pub(super) fn send(pipe: BorrowedFd<'_>, failed: &StepFailed) {
    let errno = if failed.unenforceable {
        -failed.errno
    } else {
        failed.errno
    };
    let mut bytes = errno.to_le_bytes().to_vec();
    bytes.extend_from_slice(failed.what.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(failed.detail.as_bytes());
    bytes.truncate(REPORT_BYTES_MAX);
    let _ = rustix::io::write(pipe, &bytes);
}

/// What a child's report says; nothing: it has executed its program.
pub fn read_report(bytes: &[u8]) -> Option<StepFailed> {
    let (errno, rest) = bytes.split_first_chunk::<4>()?;
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let errno = i32::from_le_bytes(*errno);
    Some(StepFailed {
        errno: errno.saturating_abs(),
        unenforceable: errno < 0,
        what: text(),
        detail: text(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_success_and_rubbish_is_no_panic() {
        assert_eq!(read_report(b""), None);
        assert_eq!(read_report(b"abc"), None);
        let failed = read_report(&[2, 0, 0, 0, b'x', 0xff]).unwrap();
        assert_eq!(failed.errno, 2);
        assert!(failed.to_string().ends_with(": ENOENT"));
        let failed = read_report(b"\x10\0\0\0unmount /x\0held by a\0b").unwrap();
        assert_eq!(failed.to_string(), "unmount /x: EBUSY: held by a\0b");
        assert!(!failed.unenforceable);
        let failed = read_report(b"\xea\xff\xff\xffuser\0tmpfs").unwrap();
        assert_eq!(failed.to_string(), "user: EINVAL: tmpfs");
        assert!(failed.unenforceable);
    }
}
