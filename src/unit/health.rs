//! `[health]`: how it is found out whether a service is well, and what follows where it is not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use super::{Command, value};

/// `[health]`. With none of the three ways set there are no probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Health {
    /// A command: it is well when this ends with 0. One at most.
    pub exec: Vec<Command>,
    /// An address of the web, with a host in numbers.
    pub http: Option<Box<str>>,
    /// `ADDRESS:PORT`.
    pub tcp: Option<Box<str>>,
    /// Between two probes.
    #[serde(serialize_with = "value::serialize_duration")]
    pub interval: Duration,
    /// How long one may take.
    #[serde(serialize_with = "value::serialize_duration")]
    pub timeout: Duration,
    /// So many failures in a row mean that it is unhealthy.
    pub retries: u32,
    /// Failures this soon after the start do not count.
    #[serde(serialize_with = "value::serialize_duration")]
    pub start_period: Duration,
    /// What follows.
    pub on_unhealthy: OnUnhealthy,
}

/// What is done about an unhealthy service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnhealthy {
    /// It ends, and starts again.
    Restart,
    /// It ends.
    Stop,
    /// Nothing.
    None,
    /// The machine starts again.
    Reboot,
}

impl OnUnhealthy {
    /// What each is called.
    pub const WORDS: [(&str, Self); 4] = [
        ("restart", Self::Restart),
        ("stop", Self::Stop),
        ("none", Self::None),
        ("reboot", Self::Reboot),
    ];
}

/// Where a probe without a program connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub address: SocketAddr,
    /// What is asked for, and of whom as its `Host:`; None: to be connected is enough.
    pub http: Option<(Box<str>, Box<str>)>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            exec: Vec::new(),
            http: None,
            tcp: None,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            retries: 3,
            start_period: Duration::from_secs(30),
            on_unhealthy: OnUnhealthy::Restart,
        }
    }
}

impl Health {
    /// There are probes.
    pub fn is_set(&self) -> bool {
        self.ways() > 0
    }

    /// How many ways to probe are set.
    pub fn ways(&self) -> usize {
        self.exec.len() + usize::from(self.http.is_some()) + usize::from(self.tcp.is_some())
    }

    /// Where to connect to. None: a command is run instead.
    pub fn target(&self) -> Option<Target> {
        let tcp = || {
            let address = address(self.tcp.as_deref()?)?;
            Some(Target { address, http: None })
        };
        self.http.as_deref().and_then(http).or_else(tcp)
    }
}

/// `127.0.0.1:80`, `[::1]:80` or `localhost:80`: nobody is asked for a name.
pub fn address(text: &str) -> Option<SocketAddr> {
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    local.as_deref().unwrap_or(text).parse().ok()
}

/// An address of the web, in numbers; RFC 3986.
pub fn http(url: &str) -> Option<Target> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let bare = authority.trim_start_matches('[').trim_end_matches(']');
    let host: Option<IpAddr> = match bare {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        bare => bare.parse().ok(),
    };
    let address = address(authority).or_else(|| host.map(|host| SocketAddr::new(host, 80)))?;
    (plain(path) && !path.contains('#')).then(|| Target {
        address,
        http: Some((path.into(), authority.into())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let of = |url| http(url).map(|target| (target.address.to_string(), target.http.unwrap().0.to_string()));
        let some = |address: &str, path: &str| Some((address.to_owned(), path.to_owned()));
        assert_eq!(
            of("http://127.0.0.1:8080/healthz?x=1"),
            some("127.0.0.1:8080", "/healthz?x=1")
        );
        assert_eq!(of("http://127.0.0.1"), some("127.0.0.1:80", "/"));
        assert_eq!(of("http://[::1]:81/a"), some("[::1]:81", "/a"));
        assert_eq!(of("http://[::1]"), some("[::1]:80", "/"));
        assert_eq!(of("http://localhost:5000/"), some("127.0.0.1:5000", "/"));
        for wrong in [
            "https://127.0.0.1",
            &["http:/", "/name/"].concat(),
            "127.0.0.1",
            "http://127.0.0.1/a b",
            "http://127.0.0.1/\r\nX:",
            "http://",
        ] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
        assert!(address("127.0.0.1:80").is_some() && address("[::1]:80").is_some() && address("host:80").is_none());
    }
}
