//! The kernel's randomness over reboots: random(4), "Usage".
//!
//! A seed is saved while the pool is ready, and is good for one boot: it is taken off the disk before it is counted, so
//! that no power cut lets it count twice, and the next one is drawn after it has been mixed in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::rand::{GetRandomFlags, getrandom};

use crate::sys::random::{SEED_BYTES, add_entropy};

/// The kernel wants this many bits before it takes its pool to be ready; drivers/char/random.c, POOL_READY_BITS.
const READY_BITS: u16 = 256;

/// Random bytes, if the pool is ready.
///
/// # Errors
/// EAGAIN: it is not.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += getrandom(rest, GetRandomFlags::NONBLOCK)?;
    }
    Ok(bytes)
}

/// Mixes the saved seed into the pool, and saves the next one. A seed that cannot be taken off the disk, or that
/// others could have read, is mixed in and not counted.
///
/// # Errors
/// Where a seed could not be read, mixed in or saved, in one line.
pub fn seed(state_dir: &Path) -> Result<(), String> {
    let place = place(state_dir);
    let mixed = match take(&place) {
        Ok(None) => Ok(()),
        Ok(Some((seed, secret))) => mix(&seed, secret),
        Err(error) => Err(format!("{}: {error}", place.display())),
    };
    // Whatever was wrong with the last one, the next is good.
    let saved = save(state_dir);
    mixed.and(saved)
}

fn mix(seed: &[u8; SEED_BYTES], secret: bool) -> Result<(), String> {
    let bits = if secret { READY_BITS } else { 0 };
    let device = File::open("/dev/urandom").map_err(|error| format!("/dev/urandom: {error}"))?;
    add_entropy(device, seed, bits).map_err(|error| format!("RNDADDENTROPY: {error}"))
}

/// Saves a seed for the next boot: now, and again at the end of this one.
///
/// # Errors
/// Where it could not be written, or the pool is not ready yet, in one line.
pub fn save(state_dir: &Path) -> Result<(), String> {
    let place = place(state_dir);
    match write_seed(&place) {
        // Nothing is kept there, and all else that is not kept has been said.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        written => written.map_err(|error| format!("{}: {error}", place.display())),
    }
}

fn place(state_dir: &Path) -> PathBuf {
    state_dir.join("random-seed")
}

/// Reads a seed and takes it off the disk. False: it was not secret, or is still there.
fn take(place: &Path) -> io::Result<Option<([u8; SEED_BYTES], bool)>> {
    let mut file = match File::open(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let meta = file.metadata()?;
    let secret = meta.mode() & 0o077 == 0 && meta.uid() == rustix::process::geteuid().as_raw();
    let mut seed = [0_u8; SEED_BYTES];
    file.read_exact(&mut seed)?;
    let gone = fs::remove_file(place).and_then(|()| sync_directory(place));
    Ok(Some((seed, secret && gone.is_ok())))
}

fn write_seed(place: &Path) -> io::Result<()> {
    let seed: [u8; SEED_BYTES] = bytes()?;
    if let Some(dir) = place.parent() {
        fs::create_dir_all(dir)?;
    }
    let draft = place.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    let written = file.write_all(&seed).and_then(|()| file.sync_all());
    let moved = written
        .and_then(|()| fs::rename(&draft, place))
        .and_then(|()| sync_directory(place));
    moved.inspect_err(|_| drop(fs::remove_file(&draft)))
}

fn sync_directory(of: &Path) -> io::Result<()> {
    of.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_seed_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        assert!(take(&place).unwrap().is_none(), "none is saved yet");
        save(dir.path()).unwrap();
        let (first, secret) = take(&place).unwrap().unwrap();
        assert!(secret && first.iter().any(|b| *b != 0));
        assert!(take(&place).unwrap().is_none(), "it is off the disk");
        save(dir.path()).unwrap();
        assert_ne!(take(&place).unwrap().unwrap().0, first);
    }

    #[test]
    fn what_others_could_read_or_cut_off_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        save(dir.path()).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(!take(&place).unwrap().unwrap().1);
        fs::write(&place, [1_u8; SEED_BYTES - 1]).unwrap();
        assert!(take(&place).is_err());
    }
}
