//! Pull and push: Debian's docker-registry on loopback, with skopeo at the other end, and a server that cuts, asks for
//! tokens and lies.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::server::{Server, Trouble};
use super::{Images, can_run};
use crate::machine::eventually;

/// A registry of the test's own; ended when dropped.
pub struct Registry {
    child: Child,
    pub host: String,
}

impl Registry {
    /// `more` are further lines of its settings.
    pub fn start(images: &Images, http: &str, more: &str) -> Self {
        let data = images.path("registry").display().to_string();
        let settings = format!(
            "version: 0.1\nlog: {{ level: info, accesslog: {{ disabled: true }} }}\nstorage: {{ filesystem: {{ rootdirectory: {data} }} }}\n\
             http:\n  addr: 127.0.0.1:0\n{http}{more}"
        );
        fs::write(images.path("registry.yml"), settings).expect("write the registry's settings");
        let log = File::create(images.path("registry.log")).expect("make a log");
        let child = Command::new("docker-registry")
            .args(["serve", "registry.yml"])
            .current_dir(&images.dir)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("start docker-registry");
        let port = || {
            let log = fs::read_to_string(images.path("registry.log")).unwrap_or_default();
            let behind = log.split("listening on 127.0.0.1:").nth(1)?.to_owned();
            let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
            (digits.len() < behind.len()).then_some(digits)
        };
        eventually("the registry listens", || port().is_some());
        let host = format!("127.0.0.1:{}", port().expect("it listens"));
        Self { child, host }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The configuration of an image that a registry has, as skopeo reads it.
#[track_caller]
fn config_at(images: &Images, name: &str) -> Value {
    let address = format!("docker://{name}");
    let text = images.peer(
        "skopeo",
        &["inspect", "--tls-verify=false", "--config", "--raw", &address],
    );
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn skopeo_pulls_what_we_push_and_we_pull_what_skopeo_pushes() {
    let test = "skopeo_pulls_what_we_push_and_we_pull_what_skopeo_pushes";
    if !can_run(test, &["umoci", "skopeo", "busybox", "docker-registry"]) {
        return;
    }
    let images = Images::new();
    super::peers::make(&images);
    let registry = Registry::start(&images, "", "");
    let host = &registry.host;
    let theirs = format!("docker://{host}/theirs/web:1");
    images.peer(
        "skopeo",
        &[
            "--insecure-policy",
            "copy",
            "-q",
            "--dest-tls-verify=false",
            "oci:made:web",
            &theirs,
        ],
    );
    let name = format!("{host}/theirs/web:1");
    let pulled = images.ok(&["pull", &name]);
    let found = images.inspect(&name);
    let digest = found["RepoDigests"][0].as_str().expect("a digest").to_owned();
    assert_eq!(
        digest,
        format!(
            "{host}/theirs/web@{}",
            pulled.split(['(', ')']).nth(1).expect("a digest")
        )
    );
    assert_eq!(images.names(&images.store("layers")).len(), 2);
    // By digest, and in a second store.
    images.ok(&["rm", &name]);
    images.ok(&["pull", "-q", &digest]);
    assert_eq!(images.inspect(&digest)["Id"], found["Id"]);
    let ours = format!("{host}/ours/web:2");
    images.ok(&["push", "-q", &digest, &ours]);
    assert_eq!(config_at(&images, &ours), config_at(&images, &name));
    let to = "oci:back:web";
    images.peer(
        "skopeo",
        &[
            "--insecure-policy",
            "copy",
            "-q",
            "--src-tls-verify=false",
            &format!("docker://{ours}"),
            to,
        ],
    );
    let again = images.command(&["push", &digest, &ours]).output().expect("start svc");
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        again.status.success() && said.lines().all(|line| line.ends_with("already there")),
        "{said}"
    );
    let absent = images.run(&["pull", &format!("{host}/theirs/web:none")]);
    let said = String::from_utf8_lossy(&absent.stderr).into_owned();
    assert!(
        absent.status.code() == Some(1) && said.contains("no such image"),
        "{said}"
    );
}

#[test]
fn a_registry_with_a_password_and_tls() {
    let test = "a_registry_with_a_password_and_tls";
    if !can_run(test, &["umoci", "busybox", "docker-registry", "perl", "openssl"]) {
        return;
    }
    let images = Images::new();
    super::peers::make(&images);
    images.ok(&["load", "-i", "made", "--name", "web:1"]);
    let hash = images.peer(
        "perl",
        &[
            "-e",
            r#"print crypt("secret-word", "\$2y\$05\$abcdefghijklmnopqrstuu")"#,
        ],
    );
    fs::write(images.path("htpasswd"), format!("me:{hash}\n")).expect("write the passwords");
    #[rustfmt::skip]
    images.peer("openssl", &["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2",
        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]);
    let tls = "  tls: { certificate: cert.pem, key: key.pem }\n";
    let registry = Registry::start(&images, tls, "auth: { htpasswd: { realm: here, path: htpasswd } }\n");
    let name = format!("{}/web:1", registry.host);
    let run = |arguments: &[&str], certificate: bool, auth: &str| {
        fs::write(images.path("auth.json"), auth).expect("write credentials");
        let mut command = images.command(arguments);
        command
            .env("REGISTRY_AUTH_FILE", images.path("auth.json"))
            .env("SSL_CERT_DIR", images.path("none"));
        if certificate {
            command.env("SSL_CERT_FILE", images.path("cert.pem"));
        }
        let done = command.output().expect("start svc");
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let right = r#"{"auths": {"HOST": {"auth": "bWU6c2VjcmV0LXdvcmQ="}}}"#.replace("HOST", &registry.host);
    let wrong = right.replace("bWU6c2VjcmV0LXdvcmQ=", "bWU6c2VjcmV0LW90aGVy");
    let push = ["push", "-q", "web:1", &name];
    let (code, said) = run(&push, true, "{}");
    assert!(
        code == Some(1) && said.contains("wants credentials, and no auth file has any"),
        "{said}"
    );
    let (code, said) = run(&push, true, &wrong);
    assert!(
        code == Some(1) && said.contains("does not take our credentials"),
        "{said}"
    );
    assert!(!said.contains("secret") && !said.contains("bWU6"), "{said}");
    let (code, said) = run(&push, false, &right);
    assert_eq!(code, Some(1), "a certificate that nobody knows: {said}");
    let (code, said) = run(&push, true, &right);
    assert_eq!(code, Some(0), "{said}");
    images.ok(&["rm", "web:1"]);
    let (code, said) = run(&["pull", "-q", &name], true, &right);
    assert_eq!(code, Some(0), "{said}");
    assert!(images.inspect(&name)["Id"].is_string());
}

/// An image of a layer large enough to be cut, in a server's hands.
fn large(images: &Images) {
    let noise: String = (0_u64..200_000)
        .map(|n| format!("{:x} ", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let tar = super::layout::Tar::default().file("noise", &noise).end();
    super::layout::write(&images.path("layout"), "one", &tar, &tar);
}

#[test]
fn a_pull_that_is_cut_goes_on_where_it_was() {
    let test = "a_pull_that_is_cut_goes_on_where_it_was";
    if !can_run(test, &[]) {
        return;
    }
    let images = Images::new();
    large(&images);
    let server = Server::start(&images.path("layout"), Trouble::Cut { every: 1 << 20 });
    let done = images.run(&["pull", &format!("{}/one:1", server.host)]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && said.contains("trying again"), "{said}");
    let ranges = server.ranges();
    assert!(
        ranges.len() >= 2 && ranges.windows(2).all(|pair| pair[0] < pair[1]),
        "each goes on farther: {ranges:?}"
    );
}

#[test]
fn a_token_is_fetched_with_our_credentials_and_sent_to_the_registry_alone() {
    let test = "a_token_is_fetched_with_our_credentials_and_sent_to_the_registry_alone";
    if !can_run(test, &[]) {
        return;
    }
    let images = Images::new();
    large(&images);
    let server = Server::start(&images.path("layout"), Trouble::Token);
    // "me:secret".
    let auth = format!(r#"{{"auths": {{"{}": {{"auth": "bWU6c2VjcmV0"}}}}}}"#, server.host);
    fs::write(images.path("auth.json"), auth).expect("write credentials");
    let name = format!("{}/one:1", server.host);
    let done = images
        .command(&["pull", "-q", &name])
        .env("REGISTRY_AUTH_FILE", images.path("auth.json"))
        .output();
    super::text(&done.expect("start svc"), &["pull"]);
    let seen = server.authorizations();
    assert!(seen.contains(&"/token Basic bWU6c2VjcmV0".to_owned()), "{seen:?}");
    let others = seen.iter().filter(|line| !line.starts_with("/token"));
    assert!(
        others.clone().count() > 0 && others.clone().all(|line| line.ends_with("Bearer the-token")),
        "{seen:?}"
    );
}

#[test]
fn what_a_registry_lies_about_is_refused() {
    let test = "what_a_registry_lies_about_is_refused";
    if !can_run(test, &[]) {
        return;
    }
    for (trouble, why) in [
        (Trouble::OtherBlob, "has the digest sha256:"),
        (Trouble::LongBlob, "is longer than"),
        (Trouble::OtherType, "calls itself"),
    ] {
        let images = Images::new();
        large(&images);
        let server = Server::start(&images.path("layout"), trouble);
        let done = images.run(&["pull", "-q", &format!("{}/one:1", server.host)]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(78) && said.contains(why), "{why}: {said}");
        assert_eq!(images.ok(&["ls", "--json"]).trim(), "[]");
        assert_eq!(images.names(&images.store("layers")), Vec::<String>::new());
    }
    // A digest that was asked for, and another manifest that came.
    let images = Images::new();
    large(&images);
    let server = Server::start(&images.path("layout"), Trouble::None);
    let pinned = format!("{}/one@sha256:{}", server.host, "a".repeat(64));
    let done = images.run(&["pull", "-q", &pinned]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        done.status.code() == Some(78) && said.contains("the registry gave sha256:"),
        "{said}"
    );
}
