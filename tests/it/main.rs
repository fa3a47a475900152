//! svcd and svc as a user meets them: the built programs, real processes, the machine's own kernel.
//!
//! [`harness`] starts a supervisor with directories and a cgroup of its own, and at its end looks whether anything was
//! left behind; [`machine`] says what this machine has; the rest is a file for each theme. Every test stands alone, so
//! they run in parallel and in any order. A test named `row_NN_…` holds row NN of the reliability bars.
#![allow(clippy::disallowed_methods, reason = "tests start programs, read clocks and wait")]
#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a panic here is a failed test"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic here is a failed test"
)]

mod attach;
mod bridge;
mod built;
mod clients;
mod commands;
mod container;
mod delegate;
mod deploy;
mod escapes;
mod exec;
mod faults;
mod fd_store;
mod files;
mod forking;
mod generations;
mod given;
mod graph;
mod harness;
mod health;
mod history;
mod hung;
mod images;
mod import;
mod imported;
mod inner;
mod input;
mod isolation;
mod killed;
mod lan;
mod late;
mod layers;
mod limits;
mod links;
mod live;
mod logs;
mod machine;
mod mounts;
mod namespaces;
mod never_dies;
mod notify;
mod paths;
mod privileges;
mod probation;
mod probes;
mod processes;
mod programs;
mod proxies;
mod reexec;
mod roots;
mod run;
mod runtimes;
mod scheduling;
mod sockets;
mod states;
mod steps;
mod strace;
mod strict;
mod terminals;
mod timers;
mod tour;
mod unenforceable;
mod unit_files;
mod unprivileged;
mod user_namespaces;
mod users;
mod validators;
mod view;
