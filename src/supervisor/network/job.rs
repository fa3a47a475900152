//! The child that makes the machine's side as the plan says; what it does may block.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::Networks;
use crate::engine::event::SpawnFailure;
use crate::net::{self, Member, Plan, Policy};
use crate::sandbox::{self, Child, StepFailed};
use crate::supervisor::Supervisor;
use crate::supervisor::poll::{Source, Token};
use crate::supervisor::spawn::{from_io, kind_of, step};
use crate::unit::{Peer, Rule, UnitName};

/// What the child tells that has carried a plan out: the generation of the rules, or that the kernel has none.
const WITH_RULES: &str = "network rules hold";
const WITHOUT_RULES: &str = "network without rules";

/// One that is at it.
#[derive(Debug)]
pub struct Job {
    child: Child,
    token: Token,
    plan: Plan,
    /// The change that it was the plan of.
    change: u64,
}

impl Networks {
    fn plan(&self, addresses_of: impl Fn(&UnitName) -> Vec<IpAddr>) -> Plan {
        let policies = |rules: &[Rule]| rules.iter().map(|rule| policy(rule, &addresses_of)).collect();
        let members = self.members.values().map(|joined| Member {
            allow: policies(&joined.rules.0),
            deny: policies(&joined.rules.1),
            ..joined.member.clone()
        });
        Plan {
            bridge: self.bridge.clone(),
            members: members.collect(),
        }
    }
}

fn policy(rule: &Rule, addresses_of: impl Fn(&UnitName) -> Vec<IpAddr>) -> Policy {
    let whole = |address: IpAddr| (address, if address.is_ipv4() { 32 } else { 128 });
    Policy {
        direction: rule.direction,
        peers: match &rule.peer {
            Peer::Any => None,
            Peer::Unit(unit) => Some(addresses_of(unit).into_iter().map(whole).collect()),
            Peer::Subnet(subnet) => Some(vec![(subnet.address, subnet.prefix)]),
        },
        ports: rule.ports,
        protocol: rule.protocol,
    }
}

impl Supervisor {
    /// Starts the child that carries the plan out, unless one is at it or all is as it should be.
    pub(in crate::supervisor) fn settle_network(&mut self) {
        if self.networks.job.is_some() || self.networks.settled == self.networks.changes {
            return;
        }
        self.write_names();
        let peers = self
            .networks
            .members
            .values()
            .flat_map(|joined| joined.rules.0.iter().chain(&joined.rules.1));
        let peers = peers.filter_map(|rule| match &rule.peer {
            Peer::Unit(unit) => Some(unit.clone()),
            Peer::Any | Peer::Subnet(_) => None,
        });
        let peers: Vec<UnitName> = peers.collect();
        let addresses: BTreeMap<UnitName, Vec<IpAddr>> = peers
            .into_iter()
            .map(|unit| (unit.clone(), self.addresses_of(&unit)))
            .collect();
        let plan = self
            .networks
            .plan(|unit| addresses.get(unit).cloned().unwrap_or_default());
        if self.networks.netfilter.is_none() {
            self.networks.netfilter = net::Socket::netfilter().ok();
        }
        let changes = self.networks.changes;
        let written = self.networks.written.take();
        let netfilter = self.networks.netfilter.as_ref();
        let keep: Vec<BorrowedFd<'_>> = netfilter.iter().map(AsFd::as_fd).collect();
        let settle = || {
            // A plan of a svcd that was killed is not carried out beside its successor's.
            let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
            // What is asked for one change has numbers of its own: nobody asks for as much.
            let netfilter = netfilter.and_then(|socket| socket.share((changes as u32) << 20).ok());
            let told = match net::settle(&plan, written.as_ref(), netfilter)? {
                Some(generation) => StepFailed::new(WITH_RULES, generation.cast_signed()),
                None => StepFailed::new(WITHOUT_RULES, 0),
            };
            Err(told)
        };
        let started = sandbox::start_job_with(&keep, settle).and_then(|child| {
            let token = self.poll.add(&child.pidfd, Source::Network)?;
            Ok((child, token))
        });
        match started {
            Ok((child, token)) => {
                self.networks.job = Some(Job {
                    child,
                    token,
                    plan,
                    change: changes,
                });
            }
            Err(error) => {
                let failure = from_io("network", &error);
                self.network_settled(self.networks.changes, Some(failure));
            }
        }
    }

    /// The child has done it, or could not.
    pub(in crate::supervisor) fn on_network(&mut self) {
        let Some(job) = self.networks.job.take() else {
            return;
        };
        let mut bytes = [0_u8; 4096];
        // It has ended, so that all it had to say is there.
        let count = rustix::io::read(&job.child.report, &mut bytes).unwrap_or(0);
        self.poll.remove(&job.child.pidfd, job.token);
        let _ = waitid(
            WaitId::PidFd(job.child.pidfd.as_fd()),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        );
        // Who was killed has said nothing, and has not done all.
        let told = sandbox::read_report(bytes.get(..count).unwrap_or_default());
        let told = told.unwrap_or_else(|| StepFailed::new("network", Errno::CHILD.raw_os_error()));
        self.networks.without_rules = matches!(told.what(), WITHOUT_RULES | "allow" | "deny");
        let failure = match told.what() {
            WITHOUT_RULES => None,
            WITH_RULES => {
                self.networks.written = Some(net::Written {
                    plan: job.plan,
                    generation: told.errno.cast_unsigned(),
                });
                None
            }
            what => Some(SpawnFailure {
                detail: told.detail().into(),
                kind: kind_of(told.errno),
                ..step(what, told.errno)
            }),
        };
        self.network_settled(job.change, failure);
        self.settle_network();
    }

    /// Whether this is the child that carries the plan out: it is waited for here.
    pub(in crate::supervisor) fn is_network_job(&self, pid: i32) -> bool {
        self.networks.job.as_ref().is_some_and(|job| job.child.pid == pid)
    }
}
