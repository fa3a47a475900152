//! The files that a service may reach: `landlock`, by landlock(7).
//!
//! The paths are looked up as root, in the service's own view; the rules hold from right before the exec.

use std::error::Error;
use std::io;
use std::os::fd::AsFd;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus,
};
use rustix::fs::{FileType, fstat};

use super::probe::Lack;
use super::report::StepFailed;
use crate::unit::{Landlock, OptionalPath};

/// What must be guarded: before it (kernel 6.2), a file that may only be read could be cut off.
const GUARDED: ABI = ABI::V3;

/// Programs are loaded by these, so who may execute some may execute them: glibc's and musl's, where they are.
const LOADERS: [&str; 6] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-i386.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// Rules that are ready to hold.
pub struct Rules(RulesetCreated);

/// Why there can be no rules of ours; None: there can.
pub fn refused() -> Option<Lack> {
    let error = empty(GUARDED).err()?;
    let cause = match empty(ABI::V1) {
        Ok(_) => "this kernel's Landlock does not guard files from being cut off: it is older than 6.2",
        Err(_) => "this kernel has no Landlock, or svcd may not use it",
    };
    Some(Lack {
        cause: cause.into(),
        errno: errno(&*error),
    })
}

fn empty(abi: ABI) -> Result<RulesetCreated, Box<dyn Error>> {
    let required = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    Ok(required.handle_access(AccessFs::from_all(abi))?.create()?)
}

impl Rules {
    /// Opens each path.
    pub fn new(paths: &Landlock) -> Result<Self, StepFailed> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let execute = read | AccessFs::Execute;
        let write = AccessFs::from_all(GUARDED) & !AccessFs::Execute;
        let loaders = LOADERS.iter().map(|path| OptionalPath {
            path: path.into(),
            optional: true,
        });
        let loaders: Vec<OptionalPath> = loaders.filter(|_| !paths.execute.is_empty()).collect();
        let mut rules = empty(GUARDED).map_err(|error| failed("landlock", &*error))?;
        for (paths, access) in [
            (&paths.read_only, read),
            (&paths.read_write, write),
            (&paths.execute, execute),
            (&loaders, execute),
        ] {
            for path in paths {
                let what = format!("landlock {}", path.path.display());
                rules = add(rules, path, access).map_err(|error| failed(&what, &*error))?;
            }
        }
        Ok(Self(rules))
    }

    /// They hold for this process and all of its children from now on. It takes no-new-privileges, which is not set
    /// here, or CAP_SYS_ADMIN.
    pub fn hold(self) -> Result<(), StepFailed> {
        let rules = self.0.no_new_privs(false);
        let status = rules.restrict_self().map_err(|error| failed("landlock", &error))?;
        match status.ruleset {
            RulesetStatus::FullyEnforced => Ok(()),
            RulesetStatus::PartiallyEnforced | RulesetStatus::NotEnforced => {
                Err(StepFailed::new("landlock", libc::EOPNOTSUPP))
            }
        }
    }
}

fn add(
    rules: RulesetCreated,
    path: &OptionalPath,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, Box<dyn Error>> {
    let opened = match PathFd::new(&path.path) {
        Err(error) if path.optional && errno(&error) == libc::ENOENT => return Ok(rules),
        opened => opened?,
    };
    let is_directory = FileType::from_raw_mode(fstat(opened.as_fd())?.st_mode) == FileType::Directory;
    let access = match is_directory {
        true => access,
        // What directories are for means nothing to a file.
        false => access & AccessFs::from_file(GUARDED),
    };
    Ok(rules.add_rule(PathBeneath::new(opened, access))?)
}

fn failed(what: &str, error: &(dyn Error + 'static)) -> StepFailed {
    StepFailed::new(what, errno(error))
}

/// The error number at the bottom of an error of the crate's; EOPNOTSUPP where the kernel was never asked.
fn errno(error: &(dyn Error + 'static)) -> i32 {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(errno) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return errno;
        }
        next = error.source();
    }
    libc::EOPNOTSUPP
}
