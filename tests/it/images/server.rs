//! A registry of a hundred lines that misbehaves as it is told.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// A connection ends after so many bytes of a blob.
    Cut {
        every: usize,
    },
    /// It wants a token.
    Token,
    /// A blob has another content of the same length.
    OtherBlob,
    /// A blob is longer than it should be.
    LongBlob,
    /// The manifest is sent as something else.
    OtherType,
}

#[derive(Default)]
struct Seen {
    ranges: Vec<usize>,
    authorizations: Vec<String>,
}

/// A server for one image of a layout; ended when dropped.
pub struct Server {
    pub host: String,
    seen: Arc<Mutex<Seen>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(layout: &Path, trouble: Trouble) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
        let host = listener.local_addr().expect("an address").to_string();
        let (seen, ends) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (to, over, own, layout) = (seen.clone(), ends.clone(), host.clone(), layout.to_owned());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                // A client that speaks TLS, or ends early, is no matter.
                if let Ok(stream) = stream {
                    let _ = answer(stream, &layout, &own, trouble, &to);
                }
            }
        });
        Self {
            host,
            seen,
            ends,
            thread: Some(thread),
        }
    }

    /// From where on blobs were asked for, in order.
    pub fn ranges(&self) -> Vec<usize> {
        self.seen.lock().expect("no thread has panicked").ranges.clone()
    }

    /// Each path with what it was asked for with.
    pub fn authorizations(&self) -> Vec<String> {
        self.seen.lock().expect("no thread has panicked").authorizations.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.host);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What is asked.
#[derive(Default)]
struct Request {
    path: String,
    authorization: String,
    /// The first byte that is wanted.
    from: usize,
}

/// None: nothing was asked, or not in HTTP.
fn read(stream: &TcpStream) -> std::io::Result<Option<Request>> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let Some(path) = first.split(' ').nth(1).filter(|path| path.starts_with('/')) else {
        return Ok(None);
    };
    let mut request = Request {
        path: path.split('?').next().unwrap_or(path).to_owned(),
        ..Request::default()
    };
    for line in lines {
        let line = line?;
        let Some((key, value)) = line.split_once(": ") else {
            break;
        };
        match key.to_ascii_lowercase().as_str() {
            "authorization" => value.clone_into(&mut request.authorization),
            "range" => {
                let from = value.trim_start_matches("bytes=").trim_end_matches('-');
                request.from = from.parse().expect("a range");
            }
            _ => {}
        }
    }
    Ok(Some(request))
}

/// One request of a connection, and its end.
fn answer(stream: TcpStream, layout: &Path, host: &str, trouble: Trouble, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let Some(Request {
        path,
        authorization,
        from,
    }) = read(&stream)?
    else {
        return Ok(());
    };
    let mut to = &stream;
    if !authorization.is_empty() {
        seen.lock()
            .expect("no thread has panicked")
            .authorizations
            .push(format!("{path} {authorization}"));
    }
    if path == "/token" {
        return reply(to, "200 OK", "", br#"{"token": "the-token"}"#);
    }
    if trouble == Trouble::Token && authorization != "Bearer the-token" {
        let scope = "repository:one:pull";
        let wants =
            format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"here\",scope=\"{scope}\"\r\n");
        return reply(to, "401 Unauthorized", &wants, b"");
    }
    if path.contains("/manifests/") {
        let form = if trouble == Trouble::OtherType {
            "index"
        } else {
            "manifest"
        };
        let kind = format!("application/vnd.oci.image.{form}.v1+json");
        return reply(to, "200 OK", &format!("Content-Type: {kind}\r\n"), &manifest(layout));
    }
    let Some((_, hex)) = path.split_once("/blobs/sha256:") else {
        return reply(to, "200 OK", "", b"{}");
    };
    let mut blob = fs::read(layout.join("blobs/sha256").join(hex))?;
    let is_layer = blob.len() > 4096;
    if trouble == Trouble::OtherBlob && is_layer {
        blob[1000] ^= 1;
    }
    if trouble == Trouble::LongBlob && is_layer {
        blob.extend(b"more");
    }
    let (whole, part) = (blob.len(), &blob[from..]);
    if is_layer {
        seen.lock().expect("no thread has panicked").ranges.push(from);
    }
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    let range = if from > 0 {
        format!("Content-Range: bytes {from}-{}/{whole}\r\n", whole - 1)
    } else {
        String::new()
    };
    write!(
        to,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{range}\r\n",
        part.len()
    )?;
    let most = if let Trouble::Cut { every } = trouble {
        every.min(part.len())
    } else {
        part.len()
    };
    to.write_all(&part[..most])
}

fn reply(mut to: &TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    write!(
        to,
        "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )?;
    to.write_all(body)
}

fn manifest(layout: &Path) -> Vec<u8> {
    let index = fs::read(layout.join("index.json")).expect("read index.json");
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let digest = index["manifests"][0]["digest"]
        .as_str()
        .expect("a digest")
        .trim_start_matches("sha256:");
    let path: PathBuf = layout.join("blobs/sha256").join(digest);
    fs::read(path).expect("read the manifest")
}
