//! Images: what is kept of them, how they come and go, and how a layer becomes a directory.
//!
//! [`store`] is an OCI layout on disk whose blobs are verified before they have a name; [`document`] reads manifests,
//! indexes and configurations, and is the one place that decides what is refused; [`archive`] loads and saves layouts
//! and docker-archives; `registry` pulls and pushes; [`layer`] unpacks. All that is linked by `svc` alone. svcd has [`root`], which reads what
//! is stored for a service whose root is an image.
//!
//! Nothing here is believed: each byte that comes in is counted and hashed, and is used only when size and digest are
//! those that were asked for. Sources: the OCI image and distribution specifications.

#[cfg(feature = "image")]
pub mod archive;
#[cfg(feature = "image")]
pub mod budget;
#[cfg(feature = "image")]
pub mod commit;
#[cfg(feature = "image")]
mod compression;
pub mod digest;
#[cfg(feature = "image")]
pub mod document;
mod error;
#[cfg(feature = "image")]
pub mod garbage;
#[cfg(feature = "image")]
mod hashing;
#[cfg(feature = "image")]
pub mod ingest;
#[cfg(feature = "image")]
pub mod layer;
pub mod name;
pub mod pins;
#[cfg(feature = "image")]
pub mod references;
#[cfg(feature = "registry")]
pub mod registry;
pub mod root;
#[cfg(feature = "image")]
pub mod store;

/// Where the store is, below svcd's state directory.
pub const STORE: &str = "images";

/// Where the machine's own supervisor keeps what outlives a boot.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/svc";

pub use digest::Digest;
pub use error::{Error, Kind, Result};
pub use name::Name;
#[cfg(feature = "image")]
pub use store::Store;

#[cfg(feature = "image")]
#[cfg(test)]
mod tests;
