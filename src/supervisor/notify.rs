//! What services say of themselves: a datagram socket for each unit that is heard; sd_notify(3).
//!
//! The socket stands alone in a directory of its own, and a service with a mount namespace sees that directory where
//! those of all units are: so a socket that svcd makes anew after it was killed is the one that the service finds. Each
//! message counts by who the kernel says has sent it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::lives::Life;
use super::poll::{Poll, Source, Token, Who};
use super::{Config, Supervisor};
use crate::engine::UnitId;
use crate::engine::event::{Event, Role, SpawnFailure};
use crate::sys::descriptors::receive_datagram;
use crate::unit::{Kind, NotifyAccess, Privileges, Unenforceable, UnitName};

pub mod message;

/// Of one unit no more than this many messages are taken before the others have their turn.
const TURN_MAX: usize = 32;

/// The socket of a unit.
#[derive(Debug)]
pub struct NotifySocket {
    pub socket: OwnedFd,
    pub token: Token,
}

/// Where the directories of all units are; and where a service in a mount namespace of its own sees its own one.
pub fn directories(config: &Config) -> PathBuf {
    super::sweep::roots(config).notify()
}

fn directory(config: &Config, unit: &UnitName) -> PathBuf {
    directories(config).join(unit.as_str())
}

/// Its name in that directory.
const SOCKET: &str = "socket";

/// Makes the socket: anybody may send to it, and who may be heard is looked at then.
fn bind(directory: &Path) -> io::Result<OwnedFd> {
    let path = directory.join(SOCKET);
    DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = UnixDatagram::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o666))?;
    rustix::net::sockopt::set_socket_passcred(&socket, true)?;
    Ok(socket.into())
}

impl Supervisor {
    /// A unit that is heard has a socket; one of a former life, or of the run before, goes on.
    pub(super) fn listen_to(&mut self, unit: UnitId, former: Option<OwnedFd>) -> Result<(), SpawnFailure> {
        let Some(life) = self.lives.get_mut(&unit) else {
            return Ok(());
        };
        let Kind::Service(service) = &life.unit.kind else {
            return Ok(());
        };
        if service.notify_access == NotifyAccess::None || life.notify.is_some() {
            return Ok(());
        }
        let directory = directory(&self.config, &life.unit.name);
        let socket = former.map_or_else(|| bind(&directory), Ok).map_err(|error| {
            super::spawn::unenforceable(Unenforceable {
                key: "notify-access".into(),
                cause: format!("{}: {error}", directory.join(SOCKET).display()).into(),
                errno: error.raw_os_error().unwrap_or(0),
            })
        })?;
        let token = self.poll.add(&socket, Source::Notify(unit));
        let token = token.map_err(|error| super::spawn::from_io("notify socket", &error.into()))?;
        life.notify = Some(NotifySocket { socket, token });
        Ok(())
    }

    /// Before a run is forgotten.
    pub(super) fn stop_listening(config: &Config, poll: &mut Poll, life: &mut Life) {
        if let Some(NotifySocket { socket, token }) = life.notify.take() {
            poll.remove(&socket, token);
            let directory = directory(config, &life.unit.name);
            drop(fs::remove_file(directory.join(SOCKET)));
            drop(fs::remove_dir(directory));
        }
    }

    /// Where a command of the unit finds its socket. None: it is not heard.
    pub(super) fn notify_path(&self, life: &Life, who: Who) -> Option<PathBuf> {
        let Kind::Service(service) = &life.unit.kind else {
            return None;
        };
        life.notify.as_ref()?;
        let heard = match (service.notify_access, who) {
            (NotifyAccess::None, _) => false,
            (NotifyAccess::Main, Who::Command(role)) => matches!(role, Role::Main(_)),
            (NotifyAccess::Exec | NotifyAccess::All, Who::Command(_)) => true,
            (_, Who::Holder | Who::Proxy | Who::Session(_) | Who::Sweeper) => false,
        };
        // One with svcd's privileges sees the machine as svcd does.
        let as_svcd = match who {
            Who::Command(role) => role.command(service),
            Who::Holder | Who::Proxy | Who::Session(_) | Who::Sweeper => None,
        };
        let as_svcd = as_svcd.is_some_and(|command| command.privileges == Privileges::Full);
        let directory = match life.sandbox.has_own_mounts() && !as_svcd {
            true => directories(&self.config),
            false => directory(&self.config, &life.unit.name),
        };
        heard.then(|| directory.join(SOCKET))
    }

    /// What is shown to a service with a mount namespace as [`directories`].
    pub(super) fn notify_directory(&self, life: &Life) -> Option<PathBuf> {
        life.notify.as_ref()?;
        Some(directory(&self.config, &life.unit.name))
    }

    /// A unit has something to say.
    pub(super) fn on_notify(&mut self, unit: UnitId) {
        for _ in 0..TURN_MAX {
            let Some(life) = self.lives.get(&unit) else { return };
            let Some(notify) = &life.notify else { return };
            // One byte more than there may be, so that what is too long is known by it.
            let mut bytes = [0; message::BYTES_MAX + 1];
            let Ok(datagram) = receive_datagram(&notify.socket, &mut bytes, stores_some(life)) else {
                return;
            };
            let text = bytes
                .get(..datagram.bytes)
                .filter(|text| text.len() <= message::BYTES_MAX);
            let sender = datagram
                .sender
                .map(|sender| (sender.pid.as_raw_nonzero().get(), sender.uid.as_raw()));
            let (Some(text), Some((pid, uid)), false) = (text, sender, datagram.truncated) else {
                tracing::debug!("{}: a message that is too long, or nobody's", life.unit.name);
                continue;
            };
            if !may_speak(life, pid) {
                tracing::debug!("{}: a message of process {pid}, which is not heard", life.unit.name);
                continue;
            }
            let Some(message) = message::parse(text) else { continue };
            if let Some(number) = message.main_pid {
                self.on_main_pid(unit, number, pid, uid);
            }
            // What came along and is not kept is closed here: that is what a barrier waits for.
            self.on_descriptors(unit, &message, datagram.descriptors);
            let Some(life) = self.lives.get(&unit) else { return };
            self.queue.push_back(Event::Told {
                run: life.run,
                notification: message.notification,
            });
        }
    }
}

/// Whether what this process says counts. One that has ended meanwhile is nobody's any more.
fn may_speak(life: &Life, pid: i32) -> bool {
    let Kind::Service(service) = &life.unit.kind else {
        return false;
    };
    match service.notify_access {
        NotifyAccess::None => false,
        NotifyAccess::Main => life.main().is_some_and(|main| main.pid == pid),
        NotifyAccess::Exec => life.commands.iter().any(|(_, process)| process.pid == pid),
        NotifyAccess::All => life.members().contains(&pid),
    }
}

/// Whether any descriptor is kept for it.
fn stores_some(life: &Life) -> bool {
    matches!(&life.unit.kind, Kind::Service(service) if service.file_descriptor_store_max > 0)
}

/// Takes the directory of them all away, at the end.
pub fn remove_directories(config: &Config) {
    drop(fs::remove_dir(directories(config)));
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
