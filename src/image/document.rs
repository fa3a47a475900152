//! Manifests, indexes and configurations: JSON that is read strictly, and what of it is refused.
//!
//! A document's bytes are its identity, so they are kept as they came; the values here are for reading. Source: the OCI
//! image specification v1.1, and Docker's manifest schema 2, which has the same form under other media types.

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use super::root::DOCUMENT_BYTES_MAX;
use super::{Digest, Error, Result};
use crate::unit::LAYERS_MAX;

/// How deep indexes may name indexes.
pub const INDEX_DEPTH_MAX: usize = 4;

#[allow(missing_docs)]
pub mod media_type {
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
}
use media_type::*;

const LAYER_TYPES: [&str; 5] = [LAYER, LAYER_GZIP, LAYER_ZSTD, DOCKER_LAYER, DOCKER_LAYER_GZIP];
const CONFIG_TYPES: [&str; 2] = [CONFIG, DOCKER_CONFIG];

/// What names a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub annotations: std::collections::BTreeMap<String, String>,
}

impl Descriptor {
    /// Of bytes that are at hand.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// Of a blob.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: Default::default(),
        }
    }
}

/// The machines that an image is for; words as Go has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A configuration and layers, the lowest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

/// Manifests, one for each platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Index {
    pub schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub manifests: Vec<Descriptor>,
}

/// What is read of a configuration; the rest is told as it stands.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Config {
    pub architecture: String,
    pub os: String,
    pub variant: Option<String>,
    pub created: Option<String>,
    pub rootfs: RootFs,
    #[serde(default)]
    pub history: Vec<History>,
}

/// The layers, by what they are without compression, the lowest first.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    pub diff_ids: Vec<Digest>,
}

/// How a layer came to be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct History {
    pub created: Option<String>,
    pub created_by: Option<String>,
    pub comment: Option<String>,
    pub empty_layer: bool,
}

/// What a name leads to.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Document {
    Manifest(Manifest),
    Index(Index),
}

impl Document {
    /// Reads one; `said` is the media type that whoever named it has said.
    ///
    /// # Errors
    /// Refused: no JSON of either form; both forms at once, which readers take for different images (CVE-2021-41190);
    /// a media type that is another one than said.
    pub fn read(bytes: &[u8], said: Option<&str>) -> Result<Self> {
        let what = || format!("manifest {}", Digest::of(bytes));
        let refused = |why: String| Error::refused(what(), why);
        let shape: Value = serde_json::from_slice(bytes).map_err(|error| refused(format!("is not JSON: {error}")))?;
        let has = |key| shape.get(key).is_some();
        if has("manifests") && (has("layers") || has("config")) {
            return Err(refused("is an index and a manifest at once".to_owned()));
        }
        let inside = shape.get("mediaType").and_then(Value::as_str);
        if let (Some(said), Some(inside)) = (said, inside)
            && said != inside
        {
            return Err(refused(format!("calls itself {inside}, and was named as {said}")));
        }
        let (document, types) = match has("manifests") {
            true => (serde_json::from_slice(bytes).map(Self::Index), [INDEX, DOCKER_INDEX]),
            false => (
                serde_json::from_slice(bytes).map(Self::Manifest),
                [MANIFEST, DOCKER_MANIFEST],
            ),
        };
        if let Some(name) = said.or(inside).filter(|name| !types.contains(name)) {
            return Err(refused(format!("does not have the form of {name}")));
        }
        let document = document.map_err(|error| refused(error.to_string()))?;
        document.check().map_err(refused)?;
        Ok(document)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let version = match self {
            Self::Manifest(manifest) => manifest.schema_version,
            Self::Index(index) => index.schema_version,
        };
        if version != 2 {
            return Err(format!("has schema version {version}, not 2"));
        }
        let Self::Manifest(manifest) = self else { return Ok(()) };
        if manifest.layers.len() > LAYERS_MAX {
            return Err(format!("has {} layers, {LAYERS_MAX} are taken", manifest.layers.len()));
        }
        if !CONFIG_TYPES.contains(&manifest.config.media_type.as_str()) {
            return Err(format!(
                "is no image: its configuration is a {}",
                manifest.config.media_type
            ));
        }
        if manifest.config.size > DOCUMENT_BYTES_MAX {
            return Err(format!("has a configuration of {} bytes", manifest.config.size));
        }
        match manifest
            .layers
            .iter()
            .find(|layer| !LAYER_TYPES.contains(&layer.media_type.as_str()))
        {
            Some(layer) => Err(format!("has a layer of the unknown kind {}", layer.media_type)),
            None => Ok(()),
        }
    }
}

impl Manifest {
    /// All blobs that it names: the configuration, then the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

impl Index {
    /// The one for this platform, or the only one there is where none is said.
    ///
    /// # Errors
    /// Refused: none is for it; the error names those that are there.
    pub fn choose(&self, wanted: &Platform) -> Result<&Descriptor> {
        let is_kind =
            |one: &&Descriptor| [MANIFEST, DOCKER_MANIFEST, INDEX, DOCKER_INDEX].contains(&one.media_type.as_str());
        let all: Vec<&Descriptor> = self.manifests.iter().filter(is_kind).collect();
        if let [only] = all[..]
            && only.platform.is_none()
        {
            return Ok(only);
        }
        let fits = |one: &&&Descriptor| one.platform.as_ref().is_some_and(|platform| platform.serves(wanted));
        all.iter().find(fits).copied().ok_or_else(|| {
            let there: Vec<String> = all
                .iter()
                .filter_map(|one| one.platform.as_ref())
                .map(ToString::to_string)
                .collect();
            Error::refused(
                "index",
                format_args!("has no image for {wanted}, but for {}", there.join(", ")),
            )
        })
    }
}

impl Platform {
    /// The machine that this program was built for.
    pub fn of_this_machine() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
        }
    }

    fn serves(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant == wanted.variant)
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl std::str::FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let mut parts = text.split('/').map(str::to_owned);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(os), Some(architecture), variant, None) if !os.is_empty() && !architecture.is_empty() => Ok(Self {
                os,
                architecture,
                variant,
            }),
            _ => Err(format!(
                "`{text}` is no platform; write `linux/amd64` or `linux/arm/v7`"
            )),
        }
    }
}

impl Config {
    /// Reads one that goes with a manifest of so many layers.
    ///
    /// # Errors
    /// Refused: no configuration of an image; another number of layers.
    pub fn read(bytes: &[u8], layers: usize) -> Result<Self> {
        let refused = |why: String| Error::refused(format_args!("configuration {}", Digest::of(bytes)), why);
        let config: Self = serde_json::from_slice(bytes).map_err(|error| refused(error.to_string()))?;
        if config.rootfs.kind != "layers" {
            return Err(refused(format!(
                "has a root of the unknown kind {:?}",
                config.rootfs.kind
            )));
        }
        if config.rootfs.diff_ids.len() != layers {
            let count = config.rootfs.diff_ids.len();
            return Err(refused(format!("has {count} layers, and its manifest has {layers}")));
        }
        Ok(config)
    }
}
