//! `[mount]`: a unit that is a mounted file system; `[[mount]]`: one that only a service sees.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::value::Size;
use super::{Command, Isolation, Profile, Restart, RestartPolicy, Service, ServiceType};

/// Mounting and unmounting may each take this long; systemd's `DefaultTimeoutStartSec=`.
const TIMEOUT: Duration = Duration::from_secs(90);

/// `[mount]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Mount {
    /// The device, or what else the file system takes for it.
    pub what: Box<str>,
    /// The place that it is mounted on; made where it is not there.
    #[serde(rename = "where")]
    pub place: PathBuf,
    /// The file system; None: what the device says.
    pub r#type: Option<Box<str>>,
    /// As mount(8) takes them.
    pub options: Vec<Box<str>>,
    /// What it is to the engine: a oneshot that remains, with one command each way. svcd itself performs them.
    #[serde(skip)]
    pub service: Box<Service>,
}

/// `[[mount]]`: what a service sees at a place, and nobody else does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct InnerMount {
    /// The place in the service's own root; made where it is not there.
    pub target: PathBuf,
    /// For `bind`: a path of the machine. None: the file system takes none.
    pub source: Option<Box<str>>,
    /// `bind`, or a file system.
    pub r#type: Box<str>,
    /// With all that is mounted below.
    pub read_only: bool,
    /// As mount(8) takes them.
    pub options: Vec<Box<str>>,
}

/// `[root]`: what a service has for the root of its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Root {
    /// What lies at the bottom.
    #[serde(flatten)]
    pub from: RootFrom,
    /// Where writes go. None: to the directory itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writable: Option<Writable>,
    /// Of the tmpfs that is written to, in bytes. None: what the kernel gives it, half of the memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
}

/// The most layers: overlayfs takes 500 lower directories.
pub const LAYERS_MAX: usize = 500;

/// What a root is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootFrom {
    /// A directory of the machine.
    Path(PathBuf),
    /// Directories that lie over one another, topmost first.
    Layers(Vec<PathBuf>),
    /// An image of the store, by its name.
    Image(Box<str>),
}

/// Where writes to a root go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writable {
    /// Nowhere: it is read-only.
    None,
    /// To a tmpfs that ends with the service.
    Tmpfs,
    /// To a directory below svcd's state directory.
    Persistent,
}

impl Root {
    /// Its directories, topmost first; those of an image are known when it is started.
    pub fn layers(&self) -> &[PathBuf] {
        match &self.from {
            RootFrom::Path(path) => std::slice::from_ref(path),
            RootFrom::Layers(layers) => layers,
            RootFrom::Image(_) => &[],
        }
    }

    /// It is made of layers by overlayfs, and is no directory itself.
    pub fn is_overlay(&self) -> bool {
        match self.from {
            RootFrom::Path(_) => matches!(self.writable, Some(Writable::Tmpfs | Writable::Persistent)),
            RootFrom::Layers(_) | RootFrom::Image(_) => true,
        }
    }
}

impl InnerMount {
    /// A second place for what is somewhere else.
    pub const BIND: &str = "bind";
}

impl Mount {
    /// With nothing optional.
    pub fn new(what: Box<str>, place: PathBuf) -> Self {
        let command = |word: &str| Command {
            program: word.into(),
            ..Command::default()
        };
        let service = Service {
            r#type: ServiceType::Oneshot,
            remain_after_exit: true,
            exec_start: vec![command("mount")],
            exec_stop: vec![command("unmount")],
            timeout_start: Some(TIMEOUT),
            timeout_stop: Some(TIMEOUT),
            isolation: Rc::new(Isolation::of(Profile::None)),
            restart: Restart {
                policy: RestartPolicy::No,
                ..Restart::default()
            },
            ..Service::default()
        };
        Self {
            what,
            place,
            r#type: None,
            options: Vec::new(),
            service: Box::new(service),
        }
    }
}
