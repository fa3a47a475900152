//! `svc`: a declarative workload supervisor for Linux. This page is the map of its source.
//!
//! # The way of a unit
//!
//! ```text
//! NAME.toml ──unit──▶ Unit ──engine──▶ Action::Spawn ──supervisor──▶ clone3 ──sandbox──▶ execve
//!                      ▲                 ▲     │                          (in the child)
//!    inotify, control ─┴── Event ────────┘     └─▶ cgroup, log, control (what clients see)
//!    pidfd, signals, deadlines
//! ```
//!
//! A unit file becomes a validated [`unit::Unit`] once. The [`engine`] owns what should be true and what is: it takes
//! one [`engine::Event`] with the time and gives back [`engine::Action`]s, and makes no system call. The [`supervisor`]
//! is the only loop: it turns what the kernel reports into events and carries actions out. The [`sandbox`] works in the
//! child, between clone and exec, from a list of steps that was complete before the clone.
//!
//! # The rooms, in reading order
//!
//! | room | what it knows | may name |
//! |---|---|---|
//! | [`mod@unit`] | what a file says: plain values, findings | nobody |
//! | [`engine`] | what should happen: states, dependencies, restarts; no kernel | unit |
//! | [`supervisor`] | what does happen: one thread, one wait | all but cli and bin |
//! | [`sandbox`] | what a child does to itself | unit, sys |
//! | [`cgroup`] | limits, membership, accounting on v1, v2 and hybrid | unit, sys |
//! | [`log`] | the units' output: capture, rotation, reading | unit, sys |
//! | `image` | the store, formats, layers and registries, linked by `svc` alone; and what a root is made of | unit, sys |
//! | [`net`] | the bridge, links and rules of services, and a proxy for what no rule leads | unit, sys |
//! | [`control`] | the wire: varlink, and what a client sees | unit, sys |
//! | `cli` | a file for each verb of `svc` | control, unit, image, log, the probes |
//! | [`init`] | a machine's init: first mounts, modules, the root | sys |
//! | [`sys`] | system calls that no crate wraps well; the only `unsafe` | nobody |
//! | `reaper` | PID 1 of a service's pid namespace, a program of its own | nobody |
//!
//! `tests/tidy.rs` holds these arrows.
//!
//! # Words
//!
//! - A **run** is one life of a unit, from its first command until its cgroup is released ([`engine::RunId`]).
//! - A **wish** is that a unit be up; it is remembered while the unit is blocked or taken down with another.
//! - The **holder** is the reaper that keeps a unit's namespaces; each command of the unit is cloned into them.
//! - A **Setup** is the child's order of work; **changes** are the difference of two sets of units; *plan* is only the
//!   verb that shows it.
//!
//! # Two programs
//!
//! `svcd` is the supervisor alone, fit to be PID 1 (`cargo build --bin svcd --no-default-features`). `svc` is the same
//! library plus the control commands; `svc up DIR` runs a supervisor in the foreground, so one binary is enough.

#![deny(unsafe_code)]
// Doors name their rooms' files, which are private.
#![allow(rustdoc::private_intra_doc_links)]

pub mod cgroup;
#[cfg(feature = "cli")]
pub mod cli;
pub mod control;
pub mod engine;
pub mod image;
pub mod init;
pub mod log;
pub mod net;
pub mod sandbox;
pub mod supervisor;
pub mod sys;
pub mod unit;
