//! user_namespaces(7): being root inside one.

use std::fs;
use std::io;

/// Makes the caller, who has just entered a new user namespace, uid 0 and gid 0 in it. `uid` and `gid` are what it was
/// outside. No other user and group exists inside, and setgroups(2) is denied for good, as the kernel demands of those
/// who were not root outside.
///
/// # Errors
/// As writing to `/proc/self/setgroups`, `uid_map` and `gid_map`: EPERM where a policy forbids it.
pub fn become_root_inside(uid: u32, gid: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}
