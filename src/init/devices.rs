//! The block device that a name means, waited for: drivers find their devices in their own time.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inotify::{Inotify, WatchMask};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::init::superblock;

/// How `root=` names a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// `/dev/vda1`.
    Path(PathBuf),
    /// `UUID=…`, in lower case.
    Uuid(String),
    /// `LABEL=…`.
    Label(String),
}

impl Name {
    /// Reads a name; the kernel's admin-guide/kernel-parameters, `root=`, and fstab(5).
    ///
    /// # Errors
    /// A form that svcd does not know, in one line.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text.starts_with("/dev/") => Ok(Self::Path(text.into())),
            Some(("UUID", uuid)) if !uuid.is_empty() => Ok(Self::Uuid(uuid.to_ascii_lowercase())),
            Some(("LABEL", label)) if !label.is_empty() => Ok(Self::Label(label.to_owned())),
            _ => Err("svcd knows /dev/NAME, UUID=… and LABEL=…".to_owned()),
        }
    }
}

/// Finds the device, and waits for it if it is not there yet: this long, or for good.
///
/// # Errors
/// It did not come in time, or nothing can be waited for.
pub fn find(name: &Name, patience: Option<Duration>) -> io::Result<PathBuf> {
    // Watched first, then looked for: nothing comes in between.
    let mut changes = Inotify::init()?;
    changes.watches().add("/dev", WatchMask::CREATE | WatchMask::MOVED_TO)?;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
    if let Some(patience) = patience {
        let once = Expiration::OneShot(TimeSpec::from_duration(patience.max(Duration::from_nanos(1))));
        timer.set(once, TimerSetTimeFlags::empty())?;
    }
    let mut said = false;
    loop {
        if let Some(device) = look(name) {
            return Ok(device);
        }
        if !said {
            tracing::info!("waiting for root {name:?}");
            said = true;
        }
        let mut waited = [
            PollFd::new(changes.as_fd(), PollFlags::POLLIN),
            PollFd::new(timer.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut waited, PollTimeout::NONE)?;
        let over = waited.get(1).and_then(PollFd::any).unwrap_or(false);
        if over {
            return look(name).ok_or_else(|| io::ErrorKind::TimedOut.into());
        }
        let mut buffer = [0; 4096];
        drop(changes.read_events(&mut buffer));
    }
}

fn look(name: &Name) -> Option<PathBuf> {
    match name {
        Name::Path(path) => is_block_device(path).then(|| path.clone()),
        Name::Uuid(_) | Name::Label(_) => block_devices().into_iter().find(|device| holds(device, name)),
    }
}

fn holds(device: &Path, name: &Name) -> bool {
    let Ok(Some(found)) = File::open(device).and_then(|device| superblock::read(&device)) else {
        return false;
    };
    match name {
        Name::Path(_) => false,
        Name::Uuid(uuid) => found.uuid.as_ref() == Some(uuid),
        Name::Label(label) => found.label == label.as_bytes(),
    }
}

fn is_block_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.file_type().is_block_device())
}

/// All that the kernel has, in the order of their names.
fn block_devices() -> Vec<PathBuf> {
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| is_block_device(path))
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(Name::parse("/dev/vda1"), Ok(Name::Path("/dev/vda1".into())));
        assert_eq!(Name::parse("UUID=0A-b"), Ok(Name::Uuid("0a-b".into())));
        assert_eq!(Name::parse("LABEL=a=b"), Ok(Name::Label("a=b".into())));
        for bad in ["", "vda", "8:1", "UUID=", "LABEL=", "PARTUUID=x", "uuid=x"] {
            assert!(Name::parse(bad).unwrap_err().contains("svcd knows"), "{bad}");
        }
    }

    #[test]
    fn what_does_not_come_is_given_up() {
        for name in [
            Name::Path("/dev/svc-no-such".into()),
            Name::Label("svc-no-such-label".into()),
        ] {
            let error = find(&name, Some(Duration::from_millis(1))).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{name:?}");
        }
    }
}
