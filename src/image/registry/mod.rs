//! Registries: the OCI distribution protocol (v1.1), as a client.
//!
//! [`client`] asks and is let in, [`credentials`] reads the usual files for who we are, [`pull`] and [`push`] move images.
//! TLS is verified by the machine's certificates; without TLS only a registry on this machine is spoken to. What comes
//! is believed as little as what comes from files.

mod challenge;
mod client;
mod credentials;
mod pull;
mod push;

pub use client::Client;
pub use credentials::Credentials;
pub use pull::{Pulled, pull};
pub use push::push;

use super::document::Descriptor;

/// What a transfer tells while it goes on.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A blob is here, or there, already.
    Present(&'a Descriptor),
    /// So many bytes of a blob have come.
    Moved(&'a Descriptor, u64),
    /// A blob is whole.
    Done(&'a Descriptor),
    /// It did not work, for this reason, and is tried again.
    Again(&'a Descriptor, String),
}
