//! The machine's names: hostname(7) and machine-id(5).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::random;

/// Bytes of a name that the kernel keeps; `__NEW_UTS_LEN`, uname(2).
const HOSTNAME_BYTES_MAX: usize = 64;

/// Names the machine: as told, or as /etc/hostname says, or as the kernel was told (`hostname=`), or `localhost`.
///
/// # Errors
/// A name that is none, or one that cannot be set.
pub fn set_hostname(told: Option<&str>) -> Result<(), String> {
    let file = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let of_file = file
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    let name = match told.or(of_file) {
        Some(name) => name,
        None if rustix::system::uname().nodename() != c"(none)" => return Ok(()),
        None => "localhost",
    };
    if !is_hostname(name) {
        return Err(format!(
            "`{name}`: a name has 1 to 64 letters, digits, dots and hyphens"
        ));
    }
    rustix::system::sethostname(name.as_bytes()).map_err(|error| format!("{name}: {error}"))
}

fn is_hostname(name: &str) -> bool {
    let letters = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    letters && (1..=HOSTNAME_BYTES_MAX).contains(&name.len()) && !name.starts_with(['.', '-'])
}

/// Gives the machine an id where it has none, for good where /etc can be written, or else until the next boot, over a
/// file that is there and empty. Without an /etc nobody looks for one, and none is made.
///
/// # Errors
/// Where none can be made, or be put where programs look for it.
pub fn ensure_machine_id(etc: &Path, run: &Path) -> Result<(), String> {
    let place = etc.join("machine-id");
    let failed = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    match fs::read_to_string(&place) {
        Ok(text) if is_machine_id(text.trim_end()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !etc.is_dir() => return Ok(()),
        Ok(_) | Err(_) => {}
    }
    let id = new_machine_id().map_err(|error| format!("random pool: {error}"))?;
    match write_whole(&place, &id) {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem && place.exists() => {}
        other => return other.map_err(|error| failed(&place, error)),
    }
    let until_reboot = run.join("machine-id");
    write_whole(&until_reboot, &id).map_err(|error| failed(&until_reboot, error))?;
    rustix::mount::mount_bind(&until_reboot, &place).map_err(|error| failed(&place, error.into()))
}

/// 32 hexadecimal digits, not all of them zero.
fn is_machine_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) && text.bytes().any(|b| b != b'0')
}

/// A random UUID of version 4 (RFC 9562), as machine-id(5) wants it for ids made anew.
fn new_machine_id() -> io::Result<String> {
    let random = u128::from_be_bytes(random::bytes()?);
    let version = (random & !(0xf << 76)) | (0x4 << 76);
    let variant = (version & !(0x3 << 62)) | (0x2 << 62);
    Ok(format!("{variant:032x}\n"))
}

/// A power cut leaves the old file or the new one.
fn write_whole(place: &Path, text: &str) -> io::Result<()> {
    let draft = place.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o444)
        .open(&draft)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let moved = written.and_then(|()| fs::rename(&draft, place));
    moved.inspect_err(|_| drop(fs::remove_file(&draft)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames() {
        for good in ["a", "edge-7", "db.example", "X_1", &"a".repeat(64)] {
            assert!(is_hostname(good), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a\n", "ä", "a/b", &"a".repeat(65)] {
            assert!(!is_hostname(bad), "{bad}");
        }
        assert!(set_hostname(Some("a b")).unwrap_err().contains("`a b`"));
    }

    #[test]
    fn an_id_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("machine-id");
        let ensure = || {
            ensure_machine_id(dir.path(), Path::new("/there/is/none")).unwrap();
            fs::read_to_string(&place).unwrap()
        };
        let first = ensure();
        assert!(is_machine_id(first.trim_end()) && first.len() == 33, "{first:?}");
        let digit = |place: usize| char::from(first.as_bytes()[place]);
        assert!(digit(12) == '4' && "89ab".contains(digit(16)), "{first}");
        assert_eq!(ensure(), first, "kept");
        for none in ["", "uninitialized\n", "0000000000000000000000000000000000\n", "zz\n"] {
            fs::remove_file(&place).unwrap();
            fs::write(&place, none).unwrap();
            let made = ensure();
            assert!(is_machine_id(made.trim_end()) && made != first, "{none:?}: {made}");
        }
    }

    #[test]
    fn without_etc_there_is_no_id() {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("etc");
        assert_eq!(ensure_machine_id(&etc, dir.path()), Ok(()));
        assert!(!etc.exists());
    }
}
