//! Where a socket is: an address with a port, a port, or a path.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// Where a socket is; systemd.socket(5), `ListenStream=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `80`: of every address, IPv4 and IPv6.
    Port(u16),
    /// `127.0.0.1:80`, `[::1]:80`.
    Internet(SocketAddr),
    /// `/run/web.sock`.
    Path(PathBuf),
}

/// What fits into sockaddr_un with the NUL behind it; unix(7).
const PATH_BYTES_MAX: usize = 107;

impl Address {
    /// Reads one of the three.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, Box<str>> {
        if text.starts_with('/') {
            let path = PathBuf::from(text);
            let has_steps = path.components().any(|part| part == std::path::Component::ParentDir);
            return match text.len() {
                _ if has_steps || text.ends_with('/') || text.contains('\0') => {
                    Err(format!("`{text}` is no path of a socket: without `..`, and with a name at its end").into())
                }
                0..=PATH_BYTES_MAX => Ok(Self::Path(path)),
                _ => Err(format!("the path of a socket has at most {PATH_BYTES_MAX} bytes; unix(7)").into()),
            };
        }
        if text.starts_with('@') {
            let why = "whoever shares the network could connect, from any container: use a path";
            return Err(format!("`{text}` is an abstract socket: {why}").into());
        }
        if let Ok(port) = text.parse::<u16>()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && port != 0
        {
            return Ok(Self::Port(port));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(Self::Internet(address)),
            Ok(_) | Err(_) => Err(format!(
                "`{text}` is no address: \"80\", \"127.0.0.1:80\", \"[::1]:80\" or \"/run/web.sock\""
            )
            .into()),
        }
    }

    /// Of a Unix socket.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Port(_) | Self::Internet(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "{port}"),
            Self::Internet(address) => write!(f, "{address}"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_there_and_back() {
        for text in [
            "80",
            "0.0.0.0:80",
            "127.0.0.1:65535",
            "[::]:80",
            "[fe80::1%2]:80",
            "/run/web.sock",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        let long = format!("/{}", "a".repeat(107));
        for text in [
            "",
            "0",
            "65536",
            "+80",
            "web:80",
            "127.0.0.1",
            "127.0.0.1:0",
            "run/x",
            "/run/",
            "/run/../x",
            &long,
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        assert!(Address::parse("@web").unwrap_err().contains("use a path"));
    }
}
