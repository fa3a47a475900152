//! Images: what is kept of them, how they come and go, and how a layer becomes a directory.
//!
//! [`store`] is an OCI layout on disk whose blobs are verified before they have a name; [`document`] reads manifests,
//! indexes and configurations, and is the one place that decides what is refused; [`archive`] loads and saves layouts
//! and docker-archives; `registry` pulls and pushes; [`layer`] unpacks. Linked by `svc` alone: svcd reads lists of directories.
//!
//! Nothing here is believed: each byte that comes in is counted and hashed, and is used only when size and digest are
//! those that were asked for. Sources: the OCI image and distribution specifications.

pub mod archive;
pub mod commit;
mod compression;
pub mod digest;
pub mod document;
mod error;
pub mod garbage;
pub mod ingest;
pub mod layer;
pub mod name;
pub mod references;
#[cfg(feature = "registry")]
pub mod registry;
pub mod store;

pub use digest::Digest;
pub use error::{Error, Kind, Result};
pub use name::Name;
pub use store::Store;

#[cfg(test)]
mod tests;
