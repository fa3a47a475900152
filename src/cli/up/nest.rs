//! The directories of a supervisor in the foreground: made for it under a random name, gone with it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use super::UpRequest;

/// One directory for this user alone, with all that the supervisor writes in it.
#[derive(Debug)]
pub(super) struct Nest {
    root: PathBuf,
    removed: bool,
}

impl Nest {
    /// Makes it, mode 0700, where things are kept that die with the boot, or else where temporary ones are.
    pub(super) fn new() -> io::Result<Self> {
        let name = format!("svc-up-{:08x}", u32::from_ne_bytes(random()?));
        let own = std::env::var_os("XDG_RUNTIME_DIR")
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from);
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for base in own.into_iter().chain([PathBuf::from("/run"), std::env::temp_dir()]) {
            let root = base.join(&name);
            match std::fs::DirBuilder::new().mode(0o700).create(&root) {
                Ok(()) => {
                    let nest = Self { root, removed: false };
                    // It is followed from before the supervisor has looked at it.
                    std::fs::create_dir(nest.log_dir())?;
                    return Ok(nest);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// What the supervisor is started with.
    pub(super) fn request(&self, units: PathBuf) -> UpRequest {
        UpRequest {
            units,
            runtime_dir: self.root.join("run"),
            state_dir: self.root.join("state"),
            log_dir: self.log_dir(),
            cgroup: self
                .root
                .file_name()
                .and_then(OsStr::to_str)
                .unwrap_or("svc-up")
                .to_owned(),
        }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.root.join("run/control.sock")
    }

    pub(super) fn log_dir(&self) -> PathBuf {
        self.root.join("log")
    }

    #[cfg(test)]
    pub(super) fn root(&self) -> &PathBuf {
        &self.root
    }

    /// Removes it with all that is in it.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        self.removed = true;
        match std::fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// A name that nobody can have made before us, which create(2) would find out.
fn random() -> io::Result<[u8; 4]> {
    let mut bytes = [0; 4];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes)
}

impl Drop for Nest {
    fn drop(&mut self) {
        if !self.removed {
            // A failure is being told already.
            let _ = self.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_and_goes_with_its_owner() {
        let nest = Nest::new().unwrap();
        let root = nest.root().to_owned();
        let request = nest.request("/units".into());
        assert_eq!(std::fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(request.runtime_dir.starts_with(&root) && request.log_dir.starts_with(&root));
        assert!(request.cgroup.starts_with("svc-up-"));
        std::fs::create_dir(request.log_dir.join("web")).unwrap();
        drop(nest);
        assert!(!root.exists());
    }
}
