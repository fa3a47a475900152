//! The wire between `svcd` and whoever drives it: varlink over a Unix socket.
//!
//! [`interface`] is the text that any varlink client can ask for; [`frame`] cuts bytes into messages and back;
//! [`request`] is all that can be asked, [`call`] reads it from a message; [`reply`] makes answers into messages;
//! [`view`] and [`stats`] are what a client sees, and what `--json` prints; [`returns`] has what each method answers with;
//! [`client`] is the caller's side, [`channel`] what it hears of a process that has its streams.
//! Knows no engine and no supervisor: who may ask what, and what the answer is, is decided by the one that listens.

mod amount;
pub mod call;
pub mod channel;
pub mod client;
pub mod deploy;
pub mod finding;
pub mod frame;
pub mod health;
pub mod interface;
pub mod network;
pub mod reply;
pub mod request;
pub mod returns;
pub mod root;
pub mod stats;
pub mod timing;
pub mod trigger;
pub mod view;

pub use call::Call;
pub use reply::Failure;
pub use request::{Exec, Power, Request, Run, Verb, Whom, WindowSize};

/// A link to the supervisor's state directory, beside its socket: whoever wants an image of its need not ask first.
pub const STATE_LINK: &str = "state-dir";

#[cfg(test)]
mod tests;
