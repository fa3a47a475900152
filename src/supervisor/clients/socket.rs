//! The control socket's place in the file system, and who may come to it.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Makes the socket: for root, and for the members of group `svc` where there is one.
///
/// # Errors
/// As bind(2) and chmod(2).
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    let group = group_id("svc").filter(|group| std::os::unix::fs::chown(path, None, Some(*group)).is_ok());
    fs::set_permissions(
        path,
        fs::Permissions::from_mode(if group.is_some() { 0o660 } else { 0o600 }),
    )?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The number of a group, from the machine's own group file; group(5).
fn group_id(name: &str) -> Option<u32> {
    /// A group file is a few kilobytes; one of more than this is not read.
    const BYTES_MAX: u64 = 1 << 20;
    let mut text = String::new();
    fs::File::open("/etc/group")
        .ok()?
        .take(BYTES_MAX)
        .read_to_string(&mut text)
        .ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    })
}
