//! Whole machines, booted under qemu with svcd as their init: what tests/it cannot see, since it begins when one is up.
//!
//! [`machine`] builds one from a [`tree`] of files, boots it, and gives back what its console said; the rest is a file for
//! each theme. A machine has one unit, `probe`, which runs a script on the console and powers off. Tests run in any
//! order; a machine that cannot be built here is a skip that says why.
#![allow(clippy::disallowed_methods, reason = "tests start programs and wait")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a panic here is a failed test"
)]

mod consoles;
mod deploy;
mod health;
mod machine;
mod network;
mod never_dies;
mod orphans;
mod power;
mod roots;
mod settings;
mod shutdown;
mod tree;
