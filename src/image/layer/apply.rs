//! From a blob to a tree: decompressed, counted, hashed on both sides, and placed entry by entry.

use std::io::{self, Read};

use super::Limits;
use super::entry::{self, Entry, Node};
use super::tree::Tree;
use crate::image::Digest;
use crate::image::compression::{self, Capped, refuse};
use crate::image::error::words;
use crate::image::hashing::HashingReader;

/// What a blob has to be.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// As it is stored.
    pub digest: Digest,
    /// Without compression.
    pub diff_id: Digest,
}

/// What there was in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    #[allow(missing_docs)]
    pub entries: u64,
    /// Without compression.
    pub bytes: u64,
    /// Entries that were left out.
    pub skipped: u64,
}

/// Places a layer in `tree`, or with None only looks whether it is what it should be.
///
/// # Errors
/// InvalidData and UnexpectedEof: it is not what it says, or more than `limits` allow; otherwise as the calls.
pub fn apply(blob: impl Read, expected: Expected, limits: &Limits, mut tree: Option<Tree>) -> io::Result<Contents> {
    let mut blob = HashingReader::new(blob);
    let (contents, diff_id) = without_compression(&mut blob, limits, tree.as_mut())?;
    if diff_id != expected.diff_id {
        return Err(refuse(format!(
            "is {diff_id} without compression, not {}",
            expected.diff_id
        )));
    }
    io::copy(&mut blob, &mut io::sink())?;
    if blob.seen.digest() != expected.digest {
        return Err(refuse("has been changed on disk"));
    }
    tree.map_or(Ok(()), Tree::finish)?;
    Ok(contents)
}

fn without_compression(
    blob: &mut dyn Read,
    limits: &Limits,
    tree: Option<&mut Tree>,
) -> io::Result<(Contents, Digest)> {
    let (reader, _) = compression::reader(blob)?;
    let mut plain = HashingReader::new(Capped::new(reader, limits.bytes, "is too large without compression"));
    let mut contents = Contents::default();
    if let Some(tree) = tree {
        place_all(&mut plain, limits, tree, &mut contents)?;
        only_zeros(&mut plain)?;
    } else {
        io::copy(&mut plain, &mut io::sink())?;
    }
    contents.bytes = plain.seen.size;
    Ok((contents, plain.seen.digest()))
}

fn place_all(from: &mut dyn Read, limits: &Limits, tree: &mut Tree, contents: &mut Contents) -> io::Result<()> {
    let mut archive = tar::Archive::new(from);
    for one in archive.entries()? {
        let mut one = one?;
        contents.entries += 1;
        if contents.entries > limits.entries {
            return Err(refuse(format!("has more than {} entries", limits.entries)));
        }
        let entry = entry::read(&mut one)?;
        // What does not fit is refused before it is written: a file may claim to have exabytes.
        if let Entry::Node {
            node: Node::File(size), ..
        } = entry
            && size > limits.bytes
        {
            return Err(refuse(format!("has a file of {size} bytes")));
        }
        contents.skipped += u64::from(entry == Entry::Skipped);
        tree.place(&entry, &mut one).map_err(|error| named(&entry, &error))?;
    }
    Ok(())
}

/// An archive ends with zeros, and readers differ in what they make of anything else.
fn only_zeros(from: &mut dyn Read) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        if buffer.iter().take(count).any(|byte| *byte != 0) {
            return Err(refuse("has bytes behind the end of its archive"));
        }
    }
}

/// The entry's name before the error's words.
fn named(entry: &Entry, error: &io::Error) -> io::Error {
    let path = match entry {
        Entry::Node { path, .. } | Entry::Whiteout(path) | Entry::Opaque(path) => path.join(&b'/'),
        Entry::Skipped => Vec::new(),
    };
    io::Error::new(
        error.kind(),
        format!("{:?}: {}", String::from_utf8_lossy(&path), words(error)),
    )
}
