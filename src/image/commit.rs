//! A new image of an old one: one more layer, made of a directory.
//!
//! The directory is either a change in overlayfs's form, as the upper one of a mount is, whose whiteouts and opaque
//! directories are written as the image specification has them; or a tree to be added as it is. Both are read by
//! descriptors, and no link is followed. The same directory gives the same layer: names are sorted, and nothing but what
//! is in the directory goes into it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, open, openat, readlinkat, statat};
use serde_json::{Value, json};

use super::document::{Descriptor, Manifest, media_type};
use super::hashing::Hashing;
use super::references::Reference;
use super::store::Image;
use super::{Digest, Error, Name, Result, Store};

/// How deep a directory may be; as [`super::layer`] takes it.
const DEPTH_MAX: usize = 256;

/// The attributes with which overlayfs hides a directory of lower layers, as root and in a user namespace.
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// What is to be made.
#[derive(Debug)]
pub struct Commit<'a> {
    /// What it is made of; None: of nothing.
    pub base: Option<&'a Image>,
    /// The directory with the change.
    pub change: &'a Path,
    /// What it is called.
    pub name: &'a Name,
    /// When, as RFC 3339 has it.
    pub created: &'a str,
    /// How, in words.
    pub comment: &'a str,
    /// What becomes of the configuration: keys of the image specification, `Cmd`, `Env` …
    pub config: BTreeMap<String, Value>,
    /// The machine that an image of nothing is for; Go's word.
    pub architecture: &'a str,
}

/// Makes the image, and names it once it is whole and `ready`.
///
/// # Errors
/// The directory cannot be read, or has what no layer can have; as [`Store::take_in`].
pub fn commit(store: &Store, order: &Commit<'_>, ready: &dyn Fn(&Image) -> Result<()>) -> Result<Descriptor> {
    let (layer, diff_id) = store_layer(store, order.change)?;
    let config = configuration(order, diff_id)?.to_string();
    let mut layers = order.base.map_or_else(Vec::new, |base| base.manifest.layers.clone());
    layers.push(layer);
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.to_owned()),
        config: store.put(media_type::CONFIG, config.as_bytes())?,
        layers,
    };
    let bytes = serde_json::to_vec(&manifest).map_err(|error| Error::failed("manifest", error))?;
    let manifest = store.put(media_type::MANIFEST, &bytes)?;
    ready(&store.image(manifest.digest)?)?;
    store.name(Reference {
        name: Some(order.name.clone()),
        digest: manifest.digest,
        media_type: manifest.media_type.clone(),
        size: manifest.size,
        pulled_as: None,
    })?;
    Ok(manifest)
}

/// The base's configuration with one more layer and one more step; whatever else it says stays.
fn configuration(order: &Commit<'_>, diff_id: Digest) -> Result<Value> {
    let mut config = match order.base {
        Some(base) => {
            serde_json::from_slice(&base.config_bytes).map_err(|error| Error::refused("configuration", error))?
        }
        None => {
            json!({ "architecture": order.architecture, "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } })
        }
    };
    let push = |table: Option<&mut Value>, value: Value| {
        if let Some(list) = table.and_then(Value::as_array_mut) {
            list.push(value);
        }
    };
    push(config.pointer_mut("/rootfs/diff_ids"), json!(diff_id));
    let step = json!({ "created": order.created, "created_by": "svc image commit", "comment": order.comment });
    let Some(all) = config.as_object_mut() else {
        return Err(Error::refused("configuration", "is no object"));
    };
    all.insert("created".to_owned(), json!(order.created));
    push(Some(all.entry("history").or_insert_with(|| json!([]))), step);
    let run = all.entry("config").or_insert_with(|| json!({}));
    if !run.is_object() {
        *run = json!({});
    }
    if let Some(run) = run.as_object_mut() {
        run.extend(order.config.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    Ok(config)
}

/// Writes the layer, compressed, to a file without a name, and takes it in under its digest.
fn store_layer(store: &Store, change: &Path) -> Result<(Descriptor, Digest)> {
    let root = open(change, FOR_DIRECTORY, Mode::empty()).map_err(|error| Error::at(change)(error.into()))?;
    let scratch = store.path("ingest");
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = open(&scratch, flags, Mode::RUSR | Mode::WUSR).map_err(|error| Error::at(&scratch)(error.into()))?;
    let mut file = File::from(file);
    let write = |file: &mut File| -> io::Result<Digest> {
        let gzip = flate2::write::GzEncoder::new(io::BufWriter::new(file), flate2::Compression::default());
        let mut archive = tar::Builder::new(Both {
            to: gzip,
            seen: Hashing::default(),
        });
        archive.mode(tar::HeaderMode::Complete);
        let mut writer = Writer {
            archive,
            links: BTreeMap::new(),
        };
        writer.directory(root.as_fd(), &mut Vec::new())?;
        let Both { to, seen } = writer.archive.into_inner()?;
        to.finish()?.flush()?;
        Ok(seen.digest())
    };
    let diff_id = write(&mut file).map_err(Error::of(change.display()))?;
    let mut rewind = || io::Seek::seek(&mut file, io::SeekFrom::Start(0));
    rewind().map_err(Error::at(&scratch))?;
    let (digest, size) = Digest::of_reader(&file).map_err(Error::at(&scratch))?;
    io::Seek::seek(&mut file, io::SeekFrom::Start(0)).map_err(Error::at(&scratch))?;
    let layer = Descriptor::new(media_type::LAYER_GZIP, digest, size);
    store.take_in(&layer, &file)?;
    Ok((layer, diff_id))
}

/// Hashes what it hands on.
struct Both<W> {
    to: W,
    seen: Hashing,
}

impl<W: Write> Write for Both<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.seen.write_all(bytes.get(..count).unwrap_or_default())?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Where a ustar header has the name and the link, and how long they may be there.
const NAME_AT: usize = 0;
const LINK_AT: usize = 157;
const NAME_BYTES_MAX: usize = 100;

struct Writer<W: Write> {
    archive: tar::Builder<W>,
    /// Files with several names, by device and inode: where each was first.
    links: BTreeMap<(u64, u64), Vec<u8>>,
}

const FOR_DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl<W: Write> Writer<W> {
    /// All that is in a directory, in the order of names. `path` is where it is, with a slash at its end.
    fn directory(&mut self, at: BorrowedFd<'_>, path: &mut Vec<u8>) -> io::Result<()> {
        if path.iter().filter(|byte| **byte == b'/').count() > DEPTH_MAX {
            return Err(io::Error::other(format!("is more than {DEPTH_MAX} directories deep")));
        }
        if is_opaque(at) {
            self.whiteout(path, b".wh..wh..opq")?;
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(at)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        names.sort();
        for name in names {
            if name.starts_with(b".wh.") {
                return Err(io::Error::other(format!(
                    "{:?} would hide something",
                    String::from_utf8_lossy(&name)
                )));
            }
            let before = path.len();
            path.extend(&name);
            self.node(at, &name, path)?;
            path.truncate(before);
        }
        Ok(())
    }

    fn node(&mut self, at: BorrowedFd<'_>, name: &[u8], path: &mut Vec<u8>) -> io::Result<()> {
        let met = statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(met.st_mode);
        if kind == FileType::CharacterDevice && met.st_rdev == 0 {
            let parent = path.len().saturating_sub(name.len());
            let (above, own) = path.split_at(parent);
            return self.whiteout(above, &[b".wh.", own].concat());
        }
        if kind == FileType::Directory {
            let directory = openat(at, name, FOR_DIRECTORY, Mode::empty())?;
            path.push(b'/');
            self.append(
                &met,
                tar::EntryType::Directory,
                path,
                b"",
                &attributes(directory.as_fd()),
                &mut io::empty(),
            )?;
            return self.directory(directory.as_fd(), path);
        }
        if kind == FileType::Symlink {
            let target = readlinkat(at, name, Vec::new())?;
            return self.append(
                &met,
                tar::EntryType::Symlink,
                path,
                target.to_bytes(),
                &[],
                &mut io::empty(),
            );
        }
        if kind == FileType::Fifo {
            return self.append(&met, tar::EntryType::Fifo, path, b"", &[], &mut io::empty());
        }
        // Sockets end with their process, and devices are not for layers.
        if kind != FileType::RegularFile {
            return Ok(());
        }
        if met.st_nlink > 1 {
            if let Some(first) = self.links.get(&(met.st_dev, met.st_ino)).cloned() {
                return self.append(&met, tar::EntryType::Link, path, &first, &[], &mut io::empty());
            }
            self.links.insert((met.st_dev, met.st_ino), path.clone());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: OwnedFd = openat(at, name, flags, Mode::empty())?;
        let attributes = attributes(file.as_fd());
        self.append(
            &met,
            tar::EntryType::Regular,
            path,
            b"",
            &attributes,
            &mut File::from(file),
        )
    }

    fn whiteout(&mut self, above: &[u8], name: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        self.put(&mut header, &[above, name].concat(), b"", &[], &mut io::empty())
    }

    fn append(
        &mut self,
        met: &Stat,
        kind: tar::EntryType,
        path: &[u8],
        link: &[u8],
        attributes: &[(String, Vec<u8>)],
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(met.st_mode & 0o7777);
        header.set_uid(met.st_uid.into());
        header.set_gid(met.st_gid.into());
        header.set_mtime(met.st_mtime.max(0).unsigned_abs());
        header.set_size(if kind.is_file() { met.st_size.unsigned_abs() } else { 0 });
        self.put(&mut header, path, link, attributes, content)
    }

    /// What does not fit into a header goes before it, as PAX has it.
    fn put(
        &mut self,
        header: &mut tar::Header,
        path: &[u8],
        link: &[u8],
        attributes: &[(String, Vec<u8>)],
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let mut said: Vec<(&str, &[u8])> = Vec::new();
        for (key, at, name) in [("path", NAME_AT, path), ("linkpath", LINK_AT, link)] {
            match header
                .as_mut_bytes()
                .get_mut(at..at + name.len())
                .filter(|_| name.len() <= NAME_BYTES_MAX)
            {
                Some(place) => place.copy_from_slice(name),
                None => said.push((key, name)),
            }
        }
        let prefixed: Vec<(String, &[u8])> = attributes
            .iter()
            .map(|(name, value)| (format!("SCHILY.xattr.{name}"), &**value))
            .collect();
        said.extend(prefixed.iter().map(|(name, value)| (&**name, *value)));
        if !said.is_empty() {
            self.archive.append_pax_extensions(said)?;
        }
        header.set_cksum();
        let size = header.size()?;
        self.archive.append(header, content.take(size))
    }
}

/// The attributes that a layer may have; as [`super::layer`] takes them.
fn attributes(file: BorrowedFd<'_>) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::flistxattr(file, &mut names[..]).unwrap_or(0);
    names.truncate(length);
    let mut found = Vec::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter_map(|name| std::str::from_utf8(name).ok())
    {
        if !name.starts_with("user.") || name.starts_with("user.overlay.") {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        if let Ok(length) = rustix::fs::fgetxattr(file, name, &mut value[..]) {
            value.truncate(length);
            found.push((name.to_owned(), value));
        }
    }
    found
}

fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0; 2];
    OPAQUE.iter().any(|name| {
        rustix::fs::fgetxattr(directory, *name, &mut value[..]).is_ok_and(|length| value.get(..length) == Some(b"y"))
    })
}
