//! The interface text that any varlink client can ask for, and who we are.

use serde::{Deserialize, Serialize};

/// The name of the one interface beside `org.varlink.service`.
pub const NAME: &str = "dev.svc.Supervisor";

/// varlink's own interface, which every service has.
pub const SERVICE_NAME: &str = "org.varlink.service";

/// The answer to `org.varlink.service.GetInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Who made it.
    pub vendor: String,
    /// What it is.
    pub product: String,
    /// Which one.
    pub version: String,
    /// Where to read more.
    pub url: String,
    /// What it answers to.
    pub interfaces: Vec<String>,
}

/// Who we are.
pub fn info() -> Info {
    Info {
        vendor: "svc".to_owned(),
        product: "svcd".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        url: String::new(),
        interfaces: vec![SERVICE_NAME.to_owned(), NAME.to_owned()],
    }
}

/// The answer to `org.varlink.service.GetInterfaceDescription`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The interface text.
    pub description: String,
}

/// The text of an interface by its name.
pub fn description(interface: &str) -> Option<Description> {
    let text = match interface {
        NAME => SUPERVISOR,
        SERVICE_NAME => SERVICE,
        _ => return None,
    };
    Some(Description {
        description: text.to_owned(),
    })
}

/// What [`super::call`] reads and [`super::view`] shows, in varlink's words. A test holds the three together.
pub const SUPERVISOR: &str = include_str!("dev.svc.Supervisor.varlink");

/// As the varlink specification has it.
pub const SERVICE: &str = include_str!("org.varlink.service.varlink");
