//! Sockets and FIFOs of a service, opened for it by a child of svcd's, which hands them over: a path may be on a disk
//! that does not answer, and a user's name is looked up in a file.
//!
//! A path is walked by descriptor. A link on the way is followed where root, or svcd's own user, has made it, and a
//! stranger's is not (CVE-2018-6954, CVE-2018-15687); what was made is given to its owner by descriptor too.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid, fstat, mkdirat, openat, readlinkat, statat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with, sockopt,
};

use super::child::Child;
use super::identity;
use super::job::start_job_with;
use super::report::StepFailed;
use crate::sys::descriptors;
use crate::unit::address::Address;
use crate::unit::{Listen, Socket};

/// Links on the way to a path, as the kernel counts them; path_resolution(7).
const LINKS_MAX: usize = 40;

/// A child that opens sockets.
#[derive(Debug)]
pub struct Opening {
    /// Its end, and what went wrong, as of any other job.
    pub child: Child,
    channel: OwnedFd,
}

/// A socket that is open.
#[derive(Debug)]
pub struct Opened {
    /// Its place in the list that was to be opened.
    pub nth: usize,
    /// Itself.
    pub fd: OwnedFd,
    /// Of a path: device and inode of what is there.
    pub inode: Option<(u64, u64)>,
}

impl Opening {
    /// Begins to open these.
    ///
    /// # Errors
    /// As socketpair(2) and clone3(2).
    pub fn begin(sockets: Vec<Socket>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (channel, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::io::ioctl_fionbio(&channel, true)?;
        let keep = [theirs.as_fd()];
        let child = start_job_with(&keep, || {
            for (nth, socket) in sockets.iter().enumerate() {
                let (fd, inode) = open(socket)?;
                let (device, inode) = inode.unwrap_or_default();
                let numbers = [nth as u64, device, inode].map(u64::to_ne_bytes).concat();
                descriptors::send(&theirs, &numbers, &[fd.as_fd()]).map_err(of_io(socket))?;
            }
            Ok(())
        })?;
        Ok(Self { child, channel })
    }

    /// What it has opened, once it has ended.
    pub fn take(&self) -> Vec<Opened> {
        let mut all = Vec::new();
        let mut numbers = [0_u8; 24];
        while let Ok((24, fds)) = descriptors::receive(&self.channel, &mut numbers) {
            let number = |at: usize| {
                let bytes = numbers.get(at..).and_then(|rest| rest.first_chunk::<8>());
                bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
            };
            let inode = Some((number(8), number(16))).filter(|inode| *inode != (0, 0));
            let nth = number(0) as usize;
            all.extend(fds.into_iter().map(|fd| Opened { nth, fd, inode }));
        }
        all
    }
}

/// Begins to remove what was made at these paths, where it is still that.
///
/// # Errors
/// As clone3(2).
pub fn remove_sockets(made: Vec<(std::path::PathBuf, (u64, u64))>) -> io::Result<Child> {
    super::job::start_job(move || {
        for (path, inode) in made {
            let failed = |errno: Errno| StepFailed::new(format!("remove {}", path.display()), errno.raw_os_error());
            let (dir, name) = parent_of(&path, false).map_err(failed)?;
            match statat(&dir, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(there) if inode_of(&there) == inode => {
                    rustix::fs::unlinkat(&dir, &*name, AtFlags::empty()).map_err(failed)?;
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(())
    })
}

fn open(socket: &Socket) -> Result<(OwnedFd, Option<(u64, u64)>), StepFailed> {
    let failed = of_errno(socket);
    let (address, kind) = match socket.listen() {
        Some(Listen::Stream(address)) => (address, SocketType::STREAM),
        Some(Listen::Datagram(address)) => (address, SocketType::DGRAM),
        Some(Listen::SequentialPacket(address)) => (address, SocketType::SEQPACKET),
        Some(Listen::Fifo(path)) => return open_fifo(socket, path),
        None => return Err(failed(Errno::INVAL)),
    };
    let (fd, inode) = match address {
        Address::Path(path) => {
            let (fd, inode) = open_unix(socket, path, kind)?;
            (fd, Some(inode))
        }
        Address::Internet(address) => (open_internet((*address).into(), kind).map_err(&failed)?, None),
        Address::Port(port) => (open_port(*port, kind).map_err(&failed)?, None),
    };
    if socket.accept {
        // A connection that is gone again by the time it is taken must hold nobody up.
        rustix::io::ioctl_fionbio(&fd, true).map_err(&failed)?;
    }
    if kind != SocketType::DGRAM {
        listen(&fd, i32::try_from(socket.backlog).unwrap_or(i32::MAX)).map_err(&failed)?;
    }
    Ok((fd, inode))
}

/// Of both families where the machine has both; ipv6(7), `IPV6_V6ONLY`.
fn open_port(port: u16, kind: SocketType) -> Result<OwnedFd, Errno> {
    let six = std::net::SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port));
    let four = std::net::SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, port));
    match open_internet(six.into(), kind) {
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => open_internet(four.into(), kind),
        opened => opened,
    }
}

fn open_internet(address: SocketAddrAny, kind: SocketType) -> Result<OwnedFd, Errno> {
    let fd = socket_with(address.address_family(), kind, SocketFlags::CLOEXEC, None)?;
    if address.address_family() == AddressFamily::INET6 {
        let any = std::net::SocketAddrV6::try_from(address.clone()).is_ok_and(|six| six.ip().is_unspecified());
        sockopt::set_ipv6_v6only(&fd, !any)?;
    }
    if kind == SocketType::STREAM {
        sockopt::set_socket_reuseaddr(&fd, true)?;
    }
    bind(&fd, &address)?;
    Ok(fd)
}

fn open_unix(socket: &Socket, path: &Path, kind: SocketType) -> Result<(OwnedFd, (u64, u64)), StepFailed> {
    let failed = of_errno(socket);
    let (dir, name) = parent_of(path, true).map_err(&failed)?;
    let address = SocketAddrUnix::new(path).map_err(&failed)?;
    match statat(&dir, &*name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(failed(errno)),
        Ok(there) => {
            let is_socket = FileType::from_raw_mode(there.st_mode) == FileType::Socket;
            if !is_socket {
                return Err(failed(Errno::EXIST).because("what is there is no socket".to_owned()));
            }
            let probe = socket_with(
                AddressFamily::UNIX,
                kind,
                SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
                None,
            );
            // Only where nobody listens any more: a socket that is refused was left behind.
            match connect(probe.map_err(&failed)?, &address) {
                Err(Errno::CONNREFUSED) => {}
                Err(_) | Ok(()) => return Err(failed(Errno::ADDRINUSE)),
            }
            rustix::fs::unlinkat(&dir, &*name, AtFlags::empty()).map_err(&failed)?;
        }
    }
    let fd = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).map_err(&failed)?;
    rustix::process::umask(Mode::from_raw_mode(!socket.mode & 0o777));
    let bound = bind(&fd, &address);
    rustix::process::umask(Mode::from_raw_mode(0o022));
    bound.map_err(&failed)?;
    let made = openat(
        &dir,
        &*name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let inode = give(socket, &made.map_err(&failed)?, FileType::Socket)?;
    Ok((fd, inode))
}

fn open_fifo(socket: &Socket, path: &Path) -> Result<(OwnedFd, Option<(u64, u64)>), StepFailed> {
    let failed = of_errno(socket);
    let (dir, name) = parent_of(path, true).map_err(&failed)?;
    rustix::process::umask(Mode::from_raw_mode(!socket.mode & 0o777));
    let made = rustix::fs::mknodat(&dir, &*name, FileType::Fifo, Mode::from_raw_mode(socket.mode), 0);
    rustix::process::umask(Mode::from_raw_mode(0o022));
    match made {
        // One that is there is as good; what else is there is told apart below.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed(errno)),
    }
    // To read and write: it is open without anybody at the other end, and is never at its end.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let there = openat(
        &dir,
        &*name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(&failed)?;
    let inode = give(socket, &there, FileType::Fifo)?;
    let fd = openat(&dir, &*name, flags, Mode::empty()).map_err(&failed)?;
    let same = fstat(&fd).is_ok_and(|stat| inode_of(&stat) == inode);
    match same {
        true => Ok((fd, Some(inode))),
        false => Err(failed(Errno::STALE)),
    }
}

/// Makes it its owner's, and tells which it is.
fn give(socket: &Socket, made: &OwnedFd, kind: FileType) -> Result<(u64, u64), StepFailed> {
    let failed = of_errno(socket);
    let stat = fstat(made).map_err(&failed)?;
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Err(failed(Errno::EXIST).because("what is there is something else".to_owned()));
    }
    if socket.user.is_some() || socket.group.is_some() {
        let (user, group) = identity::ids(socket.user.as_ref(), socket.group.as_ref())?;
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        rustix::fs::chownat(made, "", Some(user), Some(group), AtFlags::EMPTY_PATH).map_err(&failed)?;
    }
    Ok(inode_of(&stat))
}

fn inode_of(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// The directory that a path is in, made where it is wanted and not there, and its last name.
fn parent_of(path: &Path, make: bool) -> Result<(OwnedFd, OsString), Errno> {
    let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
    let names = |path: &Path| -> Vec<OsString> {
        let parts = path.components().rev();
        let kept = parts.filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
        kept.map(|part| part.as_os_str().to_owned()).collect()
    };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = || openat(CWD, "/", flags | OFlags::DIRECTORY, Mode::empty());
    let mut at = root()?;
    // The next one is the last.
    let mut left = names(path.parent().ok_or(Errno::INVAL)?);
    let mut links = 0;
    while let Some(next) = left.pop() {
        let opened = match openat(&at, &*next, flags, Mode::empty()) {
            Err(Errno::NOENT) if make => {
                match mkdirat(&at, &*next, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno),
                }
                openat(&at, &*next, flags, Mode::empty())?
            }
            opened => opened?,
        };
        let stat = fstat(&opened)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            at = opened;
            continue;
        }
        if kind != FileType::Symlink {
            return Err(Errno::NOTDIR);
        }
        links += 1;
        let ours = stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw();
        if links > LINKS_MAX || !ours {
            return Err(Errno::LOOP);
        }
        let target = readlinkat(&opened, "", Vec::new())?;
        let target = Path::new(OsStr::from_bytes(target.as_bytes()));
        if target.is_absolute() {
            at = root()?;
        }
        left.extend(names(target));
    }
    Ok((at, name))
}

fn of_errno(socket: &Socket) -> impl Fn(Errno) -> StepFailed + use<> {
    let what = format!("socket {}", socket.text());
    move |errno| StepFailed::new(what.clone(), errno.raw_os_error())
}

fn of_io(socket: &Socket) -> impl Fn(io::Error) -> StepFailed + use<> {
    let what = format!("socket {}", socket.text());
    move |error| StepFailed::new(what.clone(), error.raw_os_error().unwrap_or(0))
}
