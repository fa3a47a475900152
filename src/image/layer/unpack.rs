//! The parent's side: a directory under way, a child that fills it, and the rename that publishes it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock, syncfs};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid};

use super::apply::{Contents, Expected, apply};
use super::confine::{NAMESPACES, confine};
use super::tree::Tree;
use super::{LIMITS, Limits};
use crate::image::document::Descriptor;
use crate::image::error::words;
use crate::image::ingest::{is_still, sync_parent};
use crate::image::store::Image;
use crate::image::{Digest, Error, Result, Store};
use crate::sys::child::{close_all_but, exit};
use crate::sys::clone::{Cloned, clone3};

/// The most bytes of what a child reports: a sentence.
const REPORT_BYTES_MAX: u64 = 16 << 10;

/// Where the layers of an image are or will be, the topmost first, as overlayfs wants them.
pub fn directories(store: &Store, image: &Image) -> Vec<PathBuf> {
    image
        .manifest
        .layers
        .iter()
        .rev()
        .map(|layer| store.layer_path(layer.digest))
        .collect()
}

/// What is done before an image gets a name: as root its layers are unpacked, and otherwise looked at.
///
/// # Errors
/// As [`unpack`] and [`check`].
pub fn ready(store: &Store, image: &Image) -> Result<()> {
    match rustix::process::geteuid().is_root() {
        true => unpack(store, image),
        false => check(store, image),
    }
}

/// Unpacks what of an image's layers is not unpacked yet. Takes root, since layers have owners; calls itself clone3(2),
/// so the process must have one thread.
///
/// # Errors
/// Refused: a layer that is not what it says, or too much; otherwise the step that did not work.
pub fn unpack(store: &Store, image: &Image) -> Result<()> {
    for (layer, diff_id) in image.manifest.layers.iter().zip(&image.config.rootfs.diff_ids) {
        unpack_layer(store, layer, *diff_id, &LIMITS)?;
    }
    Ok(())
}

/// Looks whether every layer is what it says, without unpacking it; as [`unpack`], but takes no root.
///
/// # Errors
/// As [`unpack`].
pub fn check(store: &Store, image: &Image) -> Result<()> {
    for (layer, diff_id) in image.manifest.layers.iter().zip(&image.config.rootfs.diff_ids) {
        let blob = store.blob(layer)?;
        let expected = Expected {
            digest: layer.digest,
            diff_id: *diff_id,
        };
        in_child(layer.digest, &blob, None, expected, &LIMITS)?;
    }
    Ok(())
}

fn unpack_layer(store: &Store, layer: &Descriptor, diff_id: Digest, limits: &Limits) -> Result<()> {
    let whole = store.layer_path(layer.digest);
    let Some((under_way, directory)) = begin(store, layer.digest)? else {
        return Ok(());
    };
    let blob = store.blob(layer)?;
    let expected = Expected {
        digest: layer.digest,
        diff_id,
    };
    let publish = || -> io::Result<()> {
        syncfs(directory.as_fd())?;
        fs::rename(&under_way, &whole)?;
        sync_parent(&whole)
    };
    let done = in_child(layer.digest, &blob, Some(&directory), expected, limits)
        .and_then(|_| publish().map_err(Error::at(&whole)));
    if done.is_err() {
        let _ = fs::remove_dir_all(&under_way);
    }
    done
}

/// An empty directory that this process alone has. None: the layer is unpacked already, perhaps by whom we waited for.
fn begin(store: &Store, digest: Digest) -> Result<Option<(PathBuf, OwnedFd)>> {
    let under_way = store.path("ingest").join(format!("{}.layer", digest.hex()));
    let wrong = || Error::at(&under_way);
    loop {
        if store.layer_path(digest).is_dir() {
            return Ok(None);
        }
        match DirBuilder::new().mode(0o755).create(&under_way) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(wrong()(error)),
            _ => {}
        }
        let directory = match File::open(&under_way) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(wrong())?,
        };
        flock(directory.as_fd(), FlockOperation::LockExclusive).map_err(|error| wrong()(error.into()))?;
        if !is_still(&directory, &under_way) {
            continue;
        }
        let is_empty = fs::read_dir(&under_way).map_err(wrong())?.next().is_none();
        if is_empty {
            return Ok(Some((under_way, directory.into())));
        }
        // Somebody was killed over it.
        fs::remove_dir_all(&under_way).map_err(wrong())?;
    }
}

fn in_child(name: Digest, blob: &File, directory: Option<&OwnedFd>, expected: Expected, limits: &Limits) -> Result<()> {
    let what = format!("layer {name}");
    let run = || -> io::Result<Result<()>> {
        let (report, to) = pipe_with(PipeFlags::CLOEXEC)?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        // Where namespaces are not to be had, the rest has to do: the root, the filter and the capabilities.
        let cloned = clone3(NAMESPACES, None).or_else(|_| clone3(0, None))?;
        let pidfd = match cloned {
            Cloned::Parent { pidfd, .. } => pidfd,
            Cloned::Child => child(blob, directory, to, null.as_fd(), expected, limits),
        };
        drop(to);
        let said = read_report(report, pidfd.as_fd(), limits.seconds)?;
        let ended = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
        Ok(judge(&what, &said, ended.as_ref()))
    };
    run().map_err(Error::of(&what))?
}

/// Never returns: reports in a word, or in a sentence, and ends.
fn child(
    blob: &File,
    directory: Option<&OwnedFd>,
    to: OwnedFd,
    null: BorrowedFd<'_>,
    expected: Expected,
    limits: &Limits,
) -> ! {
    let mut keep = vec![blob.as_fd(), to.as_fd()];
    keep.extend(directory.map(AsFd::as_fd));
    close_all_but(&keep, null);
    let work = || -> io::Result<Contents> {
        let own = directory.map(OwnedFd::try_clone).transpose()?;
        confine(directory, limits)?;
        apply(blob, expected, limits, own.map(Tree::new))
    };
    let (said, status) = match work() {
        Ok(_) => ("done".to_owned(), 0),
        Err(error) => (words(&error), if is_of_the_machine(&error) { 2 } else { 1 }),
    };
    let _ = File::from(to).write_all(said.as_bytes());
    exit(status)
}

/// True for what another layer would meet too. That memory ends is the layer's doing: the child has a cap of its own.
fn is_of_the_machine(error: &io::Error) -> bool {
    [
        io::ErrorKind::StorageFull,
        io::ErrorKind::QuotaExceeded,
        io::ErrorKind::ReadOnlyFilesystem,
        io::ErrorKind::PermissionDenied,
    ]
    .contains(&error.kind())
}

/// All that the child says until it ends; killed where it takes too long.
fn read_report(report: OwnedFd, pidfd: BorrowedFd<'_>, seconds: u64) -> io::Result<String> {
    let patience = Timespec {
        tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX),
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(&report, PollFlags::IN)];
    let ready = loop {
        match poll(&mut fds, Some(&patience)) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    if ready == 0 {
        pidfd_send_signal(pidfd, Signal::KILL)?;
        return Ok(format!("takes longer than {seconds} seconds"));
    }
    let mut said = Vec::new();
    File::from(report).take(REPORT_BYTES_MAX).read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn judge(what: &str, said: &str, ended: Option<&WaitIdStatus>) -> Result<()> {
    let signal = ended.and_then(WaitIdStatus::terminating_signal);
    let refused = |why: String| Err(Error::refused(what, why));
    match (said, signal, ended.and_then(WaitIdStatus::exit_status)) {
        ("done", None, Some(0)) => Ok(()),
        ("", Some(libc::SIGKILL), _) => refused("took too much processor time or memory".to_owned()),
        ("", Some(libc::SIGABRT | libc::SIGSEGV), _) => refused("took too much memory".to_owned()),
        ("", Some(libc::SIGSYS), _) => refused("made its unpacker call what it may not".to_owned()),
        ("", Some(signal), _) => refused(format!("ended its unpacker by signal {signal}")),
        ("", None, _) => Err(Error::failed(what, "its unpacker said nothing")),
        (said, _, Some(2)) => Err(Error::failed(what, said)),
        (said, ..) => refused(said.to_owned()),
    }
}
