//! One directory of a cgroup file system, by descriptor. No path is walked twice, and no link is followed.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};

/// Files that hold a line for each device or interface are read back as far as this: a page, all that one read gives.
const READ_BACK_BYTES: usize = 4096;

/// An open directory.
#[derive(Debug)]
pub struct Dir(OwnedFd);

impl Dir {
    /// Opens a mount point, or a path under one.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(CWD, path, directory(), Mode::empty())?))
    }

    /// Opens a directory below: a name, a relative path, or `..`.
    pub fn sub(&self, path: &CStr) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(&self.0, path, directory(), Mode::empty())?))
    }

    /// Makes a directory below. EEXIST if it is there.
    pub fn make(&self, name: &CStr) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(0o755))?)
    }

    /// Opens a directory below, which is made if it is not there.
    pub fn make_and_open(&self, name: &CStr) -> io::Result<Self> {
        match self.make(name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => self.sub(name),
        }
    }

    /// Whether groups may be made here: EACCES or EROFS where not.
    pub fn writable(&self) -> io::Result<()> {
        let access = rustix::fs::Access::WRITE_OK;
        Ok(rustix::fs::accessat(&self.0, c".", access, AtFlags::EACCESS)?)
    }

    /// The text of a file, of which only small ones are asked for.
    pub fn read(&self, file: &str) -> io::Result<String> {
        let file = rustix::fs::openat(&self.0, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut bytes = Vec::with_capacity(256);
        while rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes))? > 0 {
            bytes.reserve(4096);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A file that holds one number, or `max`, which is None.
    pub fn number(&self, file: &str) -> io::Result<Option<u64>> {
        let text = self.read(file)?;
        match text.trim() {
            "max" => Ok(None),
            number => number.parse().map(Some).map_err(|_| io::ErrorKind::InvalidData.into()),
        }
    }

    /// The number after `key` in a file of `key number` lines.
    pub fn keyed(&self, file: &str, key: &str) -> io::Result<Option<u64>> {
        let text = self.read(file)?;
        let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs.find(|(k, _)| *k == key).and_then(|(_, v)| v.trim().parse().ok()))
    }

    /// Opens a file for writing, or for waiting on.
    pub fn file(&self, file: &str, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(
            &self.0,
            file,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
        )?)
    }

    /// Writes a value in one call, as the kernel wants it.
    pub fn write(&self, file: &str, value: &str) -> io::Result<()> {
        let file = self.file(file, OFlags::WRONLY)?;
        rustix::io::write(file, value.as_bytes())?;
        Ok(())
    }

    /// Writes a value and says what the kernel made of it.
    pub fn write_and_read_back(&self, file: &str, value: &str) -> io::Result<String> {
        // From 6.16 on the kernel takes this as: lower the limit, and let the group itself reclaim what is above it.
        let file = self.file(file, OFlags::RDWR | OFlags::NONBLOCK)?;
        rustix::io::write(&file, value.as_bytes())?;
        let mut bytes = vec![0; READ_BACK_BYTES];
        let count = rustix::io::pread(&file, &mut bytes, 0)?;
        let text = bytes.get(..count).unwrap_or_default();
        Ok(String::from_utf8_lossy(text).trim().to_owned())
    }

    /// Names of the directories in here.
    pub fn children(&self) -> io::Result<Vec<CString>> {
        // The kernel counts subdirectories as links, so that most groups need not be listed to know they have none.
        if rustix::fs::fstat(&self.0)?.st_nlink == 2 {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            if entry.file_type() == FileType::Directory && ![c".", c".."].contains(&entry.file_name()) {
                names.push(entry.file_name().to_owned());
            }
        }
        Ok(names)
    }

    /// Names of the files in here.
    pub fn files(&self) -> io::Result<Vec<CString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            if entry.file_type() == FileType::RegularFile {
                names.push(entry.file_name().to_owned());
            }
        }
        Ok(names)
    }

    /// Calls `visit` for this directory and for all below it, upper ones first. A service may nest as deep as it likes:
    /// this takes one descriptor and no recursion.
    pub fn walk(&self, mut visit: impl FnMut(&Self) -> io::Result<()>) -> io::Result<()> {
        visit(self)?;
        let children = self.children()?;
        if children.is_empty() {
            return Ok(());
        }
        let mut open: Vec<Vec<CString>> = vec![children];
        let mut here = self.sub(c".")?;
        while let Some(siblings) = open.last_mut() {
            match siblings.pop().map(|name| here.sub(&name)) {
                Some(Ok(below)) => {
                    visit(&below)?;
                    open.push(below.children()?);
                    here = below;
                }
                Some(Err(error)) if gone(&error) => {}
                Some(Err(error)) => return Err(error),
                None => {
                    open.pop();
                    if !open.is_empty() {
                        here = here.sub(c"..")?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes the directory `path` below with all that it holds. None there is no error; EBUSY while a process is.
    pub fn remove(&self, path: &CStr) -> io::Result<()> {
        match self.rmdir(path) {
            Err(error) if busy(&error) => {}
            done => return done,
        }
        let mut here = match self.sub(path) {
            Err(error) if gone(&error) => return Ok(()),
            opened => opened?,
        };
        let mut names: Vec<CString> = Vec::new();
        loop {
            if let Some(name) = here.children()?.pop() {
                here = here.sub(&name)?;
                names.push(name);
            } else if let Some(name) = names.pop() {
                here = here.sub(c"..")?;
                here.rmdir(&name)?;
            } else {
                return self.rmdir(path);
            }
        }
    }

    /// Removes one directory without subdirectories. None there is no error.
    pub fn rmdir(&self, path: &CStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, path, AtFlags::REMOVEDIR).map_err(io::Error::from) {
            Err(error) if !gone(&error) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The group has been removed: by name, or under an open descriptor.
pub fn gone(error: &io::Error) -> bool {
    [Some(libc::ENOENT), Some(libc::ENODEV)].contains(&error.raw_os_error())
}

/// A group that has processes or groups in it.
pub fn busy(error: &io::Error) -> bool {
    [Some(libc::EBUSY), Some(libc::ENOTEMPTY)].contains(&error.raw_os_error())
}

fn directory() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}
