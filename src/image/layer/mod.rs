//! Layers as directories, in the form that overlayfs(5) mounts.
//!
//! A layer is a tar archive that somebody else made. It is decompressed, read and placed by a child of its own
//! ([`confine`]): without network, in a root that is the new directory and nothing else, with few capabilities and fewer
//! system calls. [`entry`] reads an entry and refuses what no layer needs, [`tree`] places it by descriptors, [`apply`]
//! holds the caps and the digests, and [`unpack`] publishes the directory by rename once all of it is on the disk.
//!
//! What is left out, and why: device nodes (a root gets its own /dev), `security.*` and `trusted.*` attributes, and every
//! `user.overlay.*`, which would forge what overlayfs believes. Sources: the OCI image specification, layer.md;
//! Documentation/filesystems/overlayfs.rst.

mod apply;
mod confine;
mod entry;
mod tree;
mod unpack;

pub use unpack::{check, directories, ready, unpack};

/// What a layer may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of the archive without compression.
    pub bytes: u64,
    /// Files, directories, links.
    pub entries: u64,
    /// How long the child may take, in seconds of its processor time.
    pub cpu_seconds: u64,
    /// How long it may take by the clock, in seconds: a disk may hang.
    pub seconds: u64,
}

/// 8 GiB, and half a million entries: several times the largest layers that are about.
pub const LIMITS: Limits = Limits {
    bytes: 8 << 30,
    entries: 500_000,
    cpu_seconds: 600,
    seconds: 3_600,
};
