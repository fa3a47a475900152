//! One repository of a registry: requests, and how we are let in.

use std::cell::RefCell;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Body};

use super::challenge::Challenge;
use super::credentials::Credentials;
use crate::image::document::DOCUMENT_BYTES_MAX;
use crate::image::{Error, Name, Result};

/// How long a registry may take to answer a connection, and how long it may send nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most bytes of an error's text that are told.
const TOLD_BYTES_MAX: u64 = 4 << 10;

/// A repository.
pub struct Client {
    agent: Agent,
    /// `https://localhost:5000`.
    base: String,
    host: String,
    /// The repository without the host.
    pub path: String,
    credentials: Option<Credentials>,
    /// What `Authorization` says, once the registry has asked for it.
    authorization: RefCell<Option<String>>,
}

/// What a token server answers.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Client {
    /// For the repository of a name. A registry on this machine is spoken to without TLS where it does not know it.
    ///
    /// # Errors
    /// The name has no registry.
    pub fn new(name: &Name, credentials: Option<Credentials>) -> Result<Self> {
        let Some(host) = name.host.clone() else {
            return Err(Error::refused(name, "names no registry; write HOST/NAME"));
        };
        let is_local = is_loopback(&host);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(!is_local)
            .tls_config(tls())
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .accept_encoding("identity")
            .user_agent(concat!("svc/", env!("CARGO_PKG_VERSION")));
        let config = if is_local { config.proxy(None) } else { config };
        let mut client = Self {
            agent: config.build().new_agent(),
            base: format!("https://{host}"),
            host,
            path: name.path.clone(),
            credentials,
            authorization: RefCell::new(None),
        };
        if is_local && client.agent.get(format!("{}/v2/", client.base)).call().is_err() {
            client.base = format!("http://{}", client.host);
        }
        Ok(client)
    }

    /// An address of this repository: `manifests/1.0`.
    pub fn address(&self, of: &str) -> String {
        format!("{}/v2/{}/{of}", self.base, self.path)
    }

    /// Where an upload goes on: an address as the registry says it, whole or from the root on.
    pub fn absolute(&self, location: &str) -> String {
        match location.starts_with('/') {
            true => format!("{}{location}", self.base),
            false => location.to_owned(),
        }
    }

    /// Asks, and asks again with what the registry wants to know of us.
    ///
    /// # Errors
    /// There is no answer; credentials are wanted and there are none, or they do not do.
    pub fn send<B: AsSendBody>(
        &self,
        method: &Method,
        address: &str,
        headers: &HeaderMap,
        body: &dyn Fn() -> std::io::Result<B>,
    ) -> Result<Response<Body>> {
        let first = self.send_once(method, address, headers, body)?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return Ok(first);
        }
        self.authorize(first.headers())?;
        let second = self.send_once(method, address, headers, body)?;
        match second.status() == StatusCode::UNAUTHORIZED {
            true if self.credentials.is_some() => Err(Error::failed(&self.host, "does not take our credentials")),
            true => Err(Error::failed(&self.host, "wants credentials, and no auth file has any")),
            false => Ok(second),
        }
    }

    /// Asks without a body.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn ask(&self, method: &Method, address: &str, headers: &HeaderMap) -> Result<Response<Body>> {
        self.send(method, address, headers, &|| Ok(()))
    }

    fn send_once<B: AsSendBody>(
        &self,
        method: &Method,
        address: &str,
        headers: &HeaderMap,
        body: &dyn Fn() -> std::io::Result<B>,
    ) -> Result<Response<Body>> {
        let mut request = Request::builder().method(method).uri(address);
        if let Some(all) = request.headers_mut() {
            all.extend(headers.clone());
        }
        // What lets us in is for the registry alone, wherever it sends us.
        if address.starts_with(&format!("{}/", self.base))
            && let Some(authorization) = &*self.authorization.borrow()
        {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let body = body().map_err(Error::of(&self.host))?;
        let request = request.body(body).map_err(|error| Error::failed(&self.host, error))?;
        self.agent
            .run(request)
            .map_err(|error| Error::failed(&self.host, error))
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<()> {
        let challenges = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let mut known = challenges.filter_map(|value| Challenge::read(value.to_str().ok()?));
        let authorization = match known.next() {
            None => {
                return Err(Error::failed(
                    &self.host,
                    "wants to know who we are in a way that is not known",
                ));
            }
            Some(Challenge::Basic) => match &self.credentials {
                Some(credentials) => credentials.header(),
                None => return Err(Error::failed(&self.host, "wants credentials, and no auth file has any")),
            },
            Some(Challenge::Bearer { realm, service, scope }) => self.token(&realm, service, scope)?,
        };
        *self.authorization.borrow_mut() = Some(authorization);
        Ok(())
    }

    fn token(&self, realm: &str, service: Option<String>, scope: Option<String>) -> Result<String> {
        // Credentials go out encrypted, or to this machine.
        let is_safe = realm.starts_with("https://")
            || (realm
                .strip_prefix("http://")
                .is_some_and(|rest| is_loopback(rest.split('/').next().unwrap_or(rest)))
                && is_loopback(&self.host));
        if !is_safe {
            return Err(Error::refused(
                &self.host,
                "sends us for a token to a place without TLS",
            ));
        }
        let mut request = self.agent.get(realm);
        for (key, value) in [("service", service), ("scope", scope)] {
            if let Some(value) = value {
                request = request.query(key, value);
            }
        }
        if let Some(credentials) = &self.credentials {
            request = request.header(header::AUTHORIZATION, credentials.header());
        }
        let response = request
            .call()
            .map_err(|error| Error::failed(&self.host, format_args!("token: {error}")))?;
        if !response.status().is_success() {
            return Err(Error::failed(
                &self.host,
                format_args!("gives no token: {}", response.status()),
            ));
        }
        let bytes = document(response, &self.host)?;
        let token: Token =
            serde_json::from_slice(&bytes).map_err(|_| Error::refused(&self.host, "gives a token that is none"))?;
        let token = token
            .token
            .or(token.access_token)
            .filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
        token
            .map(|token| format!("Bearer {token}"))
            .ok_or_else(|| Error::refused(&self.host, "gives a token that is none"))
    }

    /// The failure that an answer is.
    pub fn failure(&self, what: &str, response: Response<Body>) -> Error {
        let status = response.status();
        let mut text = String::new();
        let _ = response
            .into_body()
            .into_reader()
            .take(TOLD_BYTES_MAX)
            .read_to_string(&mut text);
        let reason = reason(&text).unwrap_or_else(|| status.to_string());
        match status {
            StatusCode::NOT_FOUND => Error::no_such_image(format_args!("{what} at {}", self.host)),
            _ => Error::failed(what, format_args!("{}: {reason}", self.host)),
        }
    }
}

/// What the protocol's errors say: `{"errors": [{"code": …, "message": …}]}`.
fn reason(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let error = value.get("errors")?.get(0)?;
    let word = |key| error.get(key).and_then(serde_json::Value::as_str);
    word("message")
        .filter(|text| !text.is_empty())
        .or(word("code"))
        .map(|text| text.chars().filter(|c| !c.is_control()).collect())
}

/// An answer that is a document, whole.
///
/// # Errors
/// Refused: it is too large.
pub fn document(response: Response<Body>, what: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut reader = response.into_body().into_reader().take(DOCUMENT_BYTES_MAX + 1);
    reader.read_to_end(&mut bytes).map_err(Error::of(what))?;
    match bytes.len() as u64 > DOCUMENT_BYTES_MAX {
        true => Err(Error::refused(what, "is too large for a document")),
        false => Ok(bytes),
    }
}

/// With the machine's own certificates, or those that SSL_CERT_FILE and SSL_CERT_DIR name; without any, nobody is trusted.
fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    let roots: Vec<Certificate<'static>> = found
        .certs
        .iter()
        .map(|one| Certificate::from_der(one).to_owned())
        .collect();
    TlsConfig::builder()
        .root_certs(RootCerts::from(roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

/// Of this machine: nobody else is in between.
fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.rsplit_once(':').map_or(host, |(bare, _)| bare),
    };
    bare == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_this_machine() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
            "[::1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.evil",
            "127.0.0.1.evil",
            "10.0.0.1:5000",
            "[::2]",
            "evil:5000",
            "",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn errors_of_the_protocol_are_told_in_their_words() {
        let text = r#"{"errors":[{"code":"DENIED","message":"not for\nyou"}]}"#;
        assert_eq!(reason(text).as_deref(), Some("not foryou"));
        assert_eq!(
            reason(r#"{"errors":[{"code":"DENIED","message":""}]}"#).as_deref(),
            Some("DENIED")
        );
        assert_eq!(reason("<html>"), None);
    }
}
