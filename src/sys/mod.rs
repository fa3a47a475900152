//! System calls that no crate wraps well, typed, on descriptors. The one room with `unsafe`; it holds no policy and logs nothing.
#![allow(unsafe_code)]

#[cfg(target_env = "musl")]
pub mod allocator;
pub mod bpf;
pub mod child;
pub mod clock;
pub mod clone;
pub mod descriptors;
pub mod detached;
pub mod exec;
pub mod fault;
pub mod inherit;
pub mod keyring;
pub mod lock;
pub mod loopback;
#[cfg(all(target_arch = "x86_64", target_env = "musl"))]
pub mod memory;
pub mod mount;
pub mod pidfd;
pub mod proc;
pub mod random;
pub mod scheduling;
pub mod seccomp;
pub mod signal;
pub mod stdio;
pub mod swap;
pub mod terminal;
#[cfg(test)]
pub mod testing;
pub mod userns;
pub mod wait;
