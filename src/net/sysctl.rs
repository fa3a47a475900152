//! Kernel settings below /proc/sys/net, of the network namespace that the caller is in; the kernel's ip-sysctl document.

use std::fs;
use std::path::Path;

use super::{Refused, refused};

/// Writes one where it is another: /proc/sys may be read-only and right already.
pub fn set(name: &str, value: &str) -> Result<(), Refused> {
    let path = Path::new("/proc/sys/net").join(name);
    let step = format!("network net/{name}");
    let is = fs::read_to_string(&path).map_err(refused(&step))?;
    if is.trim() == value {
        return Ok(());
    }
    fs::write(&path, value).map_err(refused(&step))
}

/// A machine that forwards IPv6 takes no router's advice any more, unless it is told to all the same: `accept_ra` of 2.
pub fn forward_ipv6() -> Result<(), Refused> {
    let links = fs::read_dir("/proc/sys/net/ipv6/conf").map_err(refused("network net/ipv6/conf"))?;
    for link in links.flatten() {
        let file = link.path().join("accept_ra");
        if fs::read_to_string(&file).is_ok_and(|is| is.trim() == "1") {
            // Where it cannot be written, or has gone, the rest still stands.
            let _ = fs::write(&file, "2");
        }
    }
    set("ipv6/conf/all/forwarding", "1")
}
