//! What a run gets of its network, and what clients see of it.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::Names;
use crate::control::network as control;
use crate::control::view::ShownValue;
use crate::engine::UnitId;
use crate::net::{Attachment, Refused, To};
use crate::sandbox::{Connector, StepFailed};
use crate::supervisor::Supervisor;
use crate::supervisor::lives::Life;
use crate::supervisor::sweep::roots;
use crate::unit::{Kind, Network, Sharing};

impl Supervisor {
    /// The names that services see, as they are by now.
    pub(super) fn write_names(&self) {
        let on_bridge = self.networks.names();
        let mut written = BTreeSet::new();
        for (_, life) in self.lives.iter() {
            let Some(names) = names_of(life) else { continue };
            let directory = &roots(&self.config).own;
            if let Err(error) = names.write_but(&mut written, directory, &life.unit.name, &on_bridge) {
                tracing::warn!("{}: {error}", life.unit.name);
            }
        }
    }

    /// The files with names that a run sees.
    pub(in crate::supervisor) fn names_for(&self, life: &Life) -> Vec<(PathBuf, &'static str)> {
        let Some(names) = names_of(life) else { return Vec::new() };
        // Who is not on the bridge has had no occasion yet.
        // A source is looked up from the root of what its child sees.
        let directory = roots(&self.config).own;
        if let Err(error) = names.write(&directory, &life.unit.name, &self.networks.names()) {
            tracing::warn!("{}: {error}", life.unit.name);
        }
        names.mounts(&directory, &life.unit.name)
    }

    /// What a client sees of it.
    pub(in crate::supervisor) fn network_of(&self, life: &Life) -> Option<control::Network> {
        let Links(attachment) = self.links_for(life)?;
        let Kind::Service(service) = &life.unit.kind else {
            return None;
        };
        let (mode, link) = match &attachment.to {
            To::Bridge { port, .. } => ("bridge", port),
            To::Parent(Sharing::Macvlan, parent) => ("macvlan", parent),
            To::Parent(Sharing::Ipvlan, parent) => ("ipvlan", parent),
        };
        let publish: Vec<String> = service.connectivity.publish.iter().map(ToString::to_string).collect();
        let (means, proxied) = self.means_of_publishing(life, service);
        Some(control::Network {
            mode: mode.to_owned(),
            link: link.to_string(),
            addresses: attachment.addresses.iter().map(ToString::to_string).collect(),
            published_by: (!publish.is_empty()).then(|| means.to_owned()),
            publish,
            proxied,
        })
    }

    /// What makes a run's links.
    pub(in crate::supervisor) fn links_for(&self, life: &Life) -> Option<Links> {
        let Kind::Service(service) = &life.unit.kind else {
            return None;
        };
        let its = &service.connectivity;
        match life.sandbox.network() {
            Network::Bridge => life.port.as_ref().map(|port| Links(port.attachment.clone())),
            Network::On(sharing) => Some(Links(Attachment {
                to: To::Parent(*sharing, its.parent.clone().unwrap_or_default()),
                addresses: its.address.clone(),
                gateways: its.gateway.clone(),
            })),
            Network::Host | Network::None | Network::Path(_) | Network::Join(_) => None,
        }
    }

    /// The addresses that a running service has, be they written or chosen, in the place of what is written.
    pub(in crate::supervisor) fn with_network(&self, unit: UnitId, mut shown: Vec<ShownValue>) -> Vec<ShownValue> {
        let Some(network) = self.lives.get(&unit).and_then(|life| self.network_of(life)) else {
            return shown;
        };
        shown.retain(|value| (value.table.as_str(), value.key.as_str()) != ("network", "address"));
        for value in &mut shown {
            if let Some(by) = network.published_by.as_ref().filter(|_| value.key == "publish") {
                value.origin.push_str(&format!(", by {by}"));
            }
        }
        let last = shown.iter().rposition(|value| value.table == "network");
        let has = ShownValue {
            table: "network".to_owned(),
            key: "address".to_owned(),
            value: format!("{:?}", network.addresses),
            origin: format!("link {}", network.link),
        };
        shown.insert(last.map_or(shown.len(), |last| last + 1), has);
        shown
    }
}

fn names_of(life: &Life) -> Option<Names> {
    match &life.unit.kind {
        Kind::Service(service) => Names::of(service, life.sandbox.network()),
        Kind::Masked | Kind::Target | Kind::Slice(_) | Kind::Mount(_) => None,
    }
}

/// Makes a run's links, in its child.
pub(in crate::supervisor) struct Links(Attachment);

impl Connector for Links {
    fn connect(&self, enter: &mut dyn FnMut() -> Result<OwnedFd, StepFailed>) -> Result<(), StepFailed> {
        self.0.make(enter)
    }
}

impl From<Refused> for StepFailed {
    fn from(refused: Refused) -> Self {
        Self::new(refused.what, refused.errno)
    }
}
