//! Images made byte by byte: tar archives with any header that can be written, and a layout around them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An entry's kind, as ustar writes it.
pub const FILE: u8 = b'0';
pub const HARDLINK: u8 = b'1';
pub const SYMLINK: u8 = b'2';
pub const CHARACTER: u8 = b'3';
pub const DIRECTORY: u8 = b'5';
pub const FIFO: u8 = b'6';

/// An archive, and then an archive in an image.
#[derive(Clone, Default)]
pub struct Tar(pub Vec<u8>);

impl Tar {
    pub fn directory(self, name: &str) -> Self {
        self.entry(DIRECTORY, name, "", b"", 0o755)
    }

    pub fn file(self, name: &str, content: &str) -> Self {
        self.entry(FILE, name, "", content.as_bytes(), 0o644)
    }

    pub fn symlink(self, target: &str, name: &str) -> Self {
        self.entry(SYMLINK, name, target, b"", 0o777)
    }

    pub fn hardlink(self, target: &str, name: &str) -> Self {
        self.entry(HARDLINK, name, target, b"", 0o644)
    }

    /// Said of the next entry.
    pub fn pax(self, key: &str, value: &str) -> Self {
        self.pax_of(&[(key, value)])
    }

    pub fn pax_of(self, said: &[(&str, &str)]) -> Self {
        let record = |(key, value): &(&str, &str)| {
            let body = format!(" {key}={value}\n");
            // The length counts its own digits.
            let length = (body.len()..)
                .find(|n| n.to_string().len() + body.len() == *n)
                .expect("a length");
            format!("{length}{body}")
        };
        let records: String = said.iter().map(record).collect();
        self.entry(b'x', "pax", "", records.as_bytes(), 0o644)
    }

    pub fn entry(self, kind: u8, name: &str, link: &str, content: &[u8], mode: u32) -> Self {
        self.raw(&header(kind, name, link, content.len() as u64, mode, 0), content)
    }

    /// Any header, right or wrong; its checksum is put in.
    pub fn raw(mut self, header: &[u8; 512], content: &[u8]) -> Self {
        let mut header = *header;
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(header);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// With the end that archives have.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub fn header(kind: u8, name: &str, link: &str, size: u64, mode: u32, uid: u32) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    put(108, format!("{uid:07o}").as_bytes());
    put(116, format!("{uid:07o}").as_bytes());
    put(124, format!("{size:011o}").as_bytes());
    put(136, format!("{:011o}", 1_700_000_000).as_bytes());
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    header
}

pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a layout of an image with one layer; `blob` is what is stored, `plain` what its configuration says it is without
/// compression.
pub fn write(at: &Path, name: &str, blob: &[u8], plain: &[u8]) {
    write_with(at, name, blob, plain, &json!({}));
}

/// The same, with what the image says of how it is run.
pub fn write_with(at: &Path, name: &str, blob: &[u8], plain: &[u8], config: &Value) {
    fs::create_dir_all(at.join("blobs/sha256")).expect("make a layout");
    let put = |media_type: &str, bytes: &[u8]| -> Value {
        fs::write(at.join("blobs/sha256").join(hex(bytes)), bytes).expect("write a blob");
        json!({ "mediaType": media_type, "digest": format!("sha256:{}", hex(bytes)), "size": bytes.len() })
    };
    let config = json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }, "os": "linux",
        "config": config, "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(plain))] },
    });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes()),
        "layers": [put("application/vnd.oci.image.layer.v1.tar", blob)],
    });
    let mut entry = put(
        "application/vnd.oci.image.manifest.v1+json",
        manifest.to_string().as_bytes(),
    );
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    fs::write(at.join("index.json"), index.to_string()).expect("write index.json");
    fs::write(at.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("write oci-layout");
}
