//! One mounted hierarchy that we may use, and our place in it.

use std::cell::RefCell;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

use super::dir::{Dir, gone};
use super::layout::{Mounted, Version};
use super::limits::Failure;
use super::{v1, v2};

/// A hierarchy with a group of ours, which is made when it is first needed.
#[derive(Debug)]
pub struct Hierarchy {
    pub version: Version,
    /// What it has to offer: what it was mounted with on v1, what `home` may hand down on v2.
    pub controllers: Vec<Box<str>>,
    /// The group that the base is made in.
    pub home: Dir,
    /// Its path, for people.
    pub home_path: PathBuf,
    /// Where the hierarchy is mounted.
    pub mount: PathBuf,
    /// The base below `home`: one name, or a few.
    base: Vec<CString>,
    open_base: RefCell<Option<Rc<Dir>>>,
    /// Controllers that we have handed down as far as to the groups in the base.
    handed_down: RefCell<Vec<Box<str>>>,
}

impl Hierarchy {
    /// Finds a group that we may make others in: the hierarchy's root, or else our own.
    pub fn open(mounted: &Mounted, base: &[CString]) -> Result<Self, Failure> {
        let mut last = Failure {
            cause: format!("{} does not show our own group", mounted.at.display()).into(),
            errno: 0,
        };
        for below in [Some(PathBuf::new()), mounted.own.clone().map(before_leaf)]
            .into_iter()
            .flatten()
        {
            let path = if below.as_os_str().is_empty() {
                mounted.at.clone()
            } else {
                mounted.at.join(below)
            };
            match usable(mounted, &path) {
                Ok((home, controllers)) => {
                    return Ok(Self {
                        version: mounted.version,
                        controllers,
                        home,
                        home_path: path,
                        mount: mounted.at.clone(),
                        base: base.to_vec(),
                        open_base: RefCell::default(),
                        handed_down: RefCell::default(),
                    });
                }
                Err(error) => last = Failure::of(&path.display().to_string(), &error),
            }
        }
        Err(last)
    }

    /// The path of a group below the base.
    pub fn path_below(&self, below: &CStr) -> PathBuf {
        let names = self.base.iter().map(|name| name.as_bytes()).chain([below.to_bytes()]);
        let paths = names.map(OsStr::from_bytes);
        paths.fold(self.home_path.clone(), |path, name| path.join(name))
    }

    /// True where it has the controller, which is named as v2 names it.
    pub fn has(&self, controller: &str) -> bool {
        let name = match self.version {
            Version::V1 => name_on_v1(controller),
            Version::V2 => controller,
        };
        self.controllers.iter().any(|c| **c == *name)
    }

    /// True where limits of the controller can be held: by itself, or on v2 by a program in its place.
    pub fn holds(&self, controller: &str) -> bool {
        let stands_in = self.version == Version::V2 && ["devices", "net_cls", "net_prio"].contains(&controller);
        self.has(controller) || stands_in
    }

    /// The group that all others are made in; made if need be.
    pub fn base(&self) -> io::Result<Rc<Dir>> {
        if let Some(base) = &*self.open_base.borrow() {
            return Ok(Rc::clone(base));
        }
        let mut dir = self.home.sub(c".")?;
        for name in &self.base {
            dir = self.make(&dir, name)?;
        }
        let base = Rc::new(dir);
        *self.open_base.borrow_mut() = Some(Rc::clone(&base));
        Ok(base)
    }

    /// Makes a group below another, or opens it, fit to be joined.
    pub fn make(&self, above: &Dir, name: &CStr) -> io::Result<Dir> {
        self.ready(above.make_and_open(name)?)
    }

    /// A directory that was just made, fit to be used.
    pub fn ready(&self, dir: Dir) -> io::Result<Dir> {
        if self.version == Version::V1 && self.has("cpuset") {
            v1::fill_cpuset(&dir)?;
        }
        Ok(dir)
    }

    /// The same, if it has been made.
    pub fn base_if_there(&self) -> io::Result<Option<Rc<Dir>>> {
        if let Some(base) = &*self.open_base.borrow() {
            return Ok(Some(Rc::clone(base)));
        }
        let mut dir = self.home.sub(c".")?;
        for name in &self.base {
            dir = match dir.sub(name) {
                Err(error) if gone(&error) => return Ok(None),
                opened => opened?,
            };
        }
        Ok(Some(Rc::new(dir)))
    }

    /// Somebody has removed the base: it is to be made anew.
    pub fn forget_base(&self) {
        *self.open_base.borrow_mut() = None;
        self.handed_down.borrow_mut().clear();
    }

    /// On v2: hands controllers down to the groups in the base. Err names the one that is refused.
    pub fn hand_down<'a>(&self, controllers: &[&'a str]) -> Result<(), (&'a str, Failure)> {
        if self.version == Version::V1 {
            return Ok(());
        }
        for controller in controllers {
            if self.handed_down.borrow().iter().any(|c| &**c == *controller) {
                continue;
            }
            v2::step_aside(&self.home).map_err(|why| (*controller, why))?;
            v2::hand_down(&self.home, &[*controller])?;
            let failed = |error| (*controller, Failure::of("open", &error));
            let mut dir = self.home.sub(c".").map_err(failed)?;
            for name in &self.base {
                dir = dir.sub(name).map_err(failed)?;
                v2::hand_down(&dir, &[*controller])?;
            }
            self.handed_down.borrow_mut().push((*controller).into());
        }
        Ok(())
    }

    /// Removes the base if nothing is in it. A base of several names: those above it too, where they are empty.
    pub fn remove_base(&self) {
        let handed_down = self.handed_down.borrow().clone();
        self.forget_base();
        for depth in (1..=self.base.len()).rev() {
            let names = self.base.iter().take(depth).map(|name| name.as_bytes());
            let path = names.collect::<Vec<_>>().join(&b'/');
            let removed = CString::new(path).map(|path| self.home.rmdir(&path));
            if !matches!(removed, Ok(Ok(()))) {
                return;
            }
        }
        if self.version == Version::V2 {
            v2::step_back(&self.home, &handed_down);
        }
    }
}

/// The controllers are named alike on v1 and v2, but for this one.
pub fn name_on_v1(controller: &str) -> &str {
    match controller {
        "io" => "blkio",
        same => same,
    }
}

/// A former life of ours, of before a re-exec, may have stepped aside: then our place is where it came from.
fn before_leaf(mut own: PathBuf) -> PathBuf {
    if own.as_os_str().as_encoded_bytes() == v2::SUPERVISOR_LEAF.to_bytes()
        || own
            .file_name()
            .is_some_and(|n| n.as_encoded_bytes() == v2::SUPERVISOR_LEAF.to_bytes())
    {
        own.pop();
    }
    own
}

fn usable(mounted: &Mounted, path: &std::path::Path) -> io::Result<(Dir, Vec<Box<str>>)> {
    /// linux/magic.h
    const CGROUP_MAGIC: u64 = 0x27_e0eb;
    const CGROUP2_MAGIC: u64 = 0x6367_7270;
    let dir = Dir::open(path)?;
    // Something else may have been mounted over it.
    let (wanted, controllers) = match mounted.version {
        Version::V1 => (CGROUP_MAGIC, mounted.controllers.clone()),
        Version::V2 => (CGROUP2_MAGIC, Vec::new()),
    };
    if rustix::fs::fstatfs(&dir)?.f_type as u64 != wanted {
        return Err(io::Error::other("no cgroup file system"));
    }
    dir.writable()?;
    let controllers = match mounted.version {
        Version::V1 => controllers,
        Version::V2 => v2::controllers(&dir)?,
    };
    Ok((dir, controllers))
}
