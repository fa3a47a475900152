//! What a command's processes may do at most: the five sets of capabilities(7), each exact.
//!
//! At execve(2), a program of root gets what the bounding set has; one of another user gets the ambient set, which the
//! kernel wants in the inheritable one too. The permitted set of before is lost then, so what a later step needs may
//! stay in it until there.

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::report::StepFailed;

/// Capabilities by their numbers in capabilities(7).
pub const SETGID: u64 = 1 << 6;
/// Likewise.
pub const SETUID: u64 = 1 << 7;
/// Likewise.
pub const SETPCAP: u64 = 1 << 8;
/// Likewise.
pub const SYS_ADMIN: u64 = 1 << 21;
/// Likewise.
pub const NET_ADMIN: u64 = 1 << 12;
/// Likewise.
pub const SYS_TIME: u64 = 1 << 25;
/// Likewise.
pub const MKNOD: u64 = 1 << 27;
/// Likewise.
pub const SETFCAP: u64 = 1 << 31;

/// Drops what is not in `set` from the bounding set.
pub fn bound(set: u64) -> Result<(), StepFailed> {
    for number in (0..u64::BITS).filter(|number| set & (1 << number) == 0) {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        // Dropping takes a right too, which a container's root may lack: what it never had is not dropped.
        match rustix::thread::capability_is_in_bounding_set(capability) {
            Ok(true) => rustix::thread::remove_capability_from_bounding_set(capability).map_err(failed)?,
            Ok(false) => {}
            // The kernel knows no more.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

/// Whether the permitted set stays over the change of user that follows.
pub fn keep(yes: bool) -> Result<(), StepFailed> {
    rustix::thread::set_keep_capabilities(yes).map_err(failed)
}

/// The other four sets, once the user is who it will be: what root keeps is within `bounding`, the inheritable set is
/// the ambient one and nothing more (CVE-2022-24769), and uid 0 means what it always does, however svcd was started.
/// `admin`: CAP_SYS_ADMIN is held until the exec.
pub fn settle(bounding: Option<u64>, ambient: u64, admin: bool) -> Result<(), StepFailed> {
    let bits = rustix::thread::capabilities_secure_bits().map_err(failed)?;
    if !bits
        .difference(rustix::thread::CapabilitiesSecureBits::KEEP_CAPS)
        .is_empty()
    {
        let none = rustix::thread::CapabilitiesSecureBits::empty();
        rustix::thread::set_capabilities_secure_bits(none).map_err(failed)?;
    }
    let held = capabilities(None).map_err(failed)?.permitted.bits();
    let mut kept = match rustix::process::geteuid().is_root() {
        true => bounding.unwrap_or(u64::MAX),
        false => ambient,
    };
    if admin {
        kept |= SYS_ADMIN;
    }
    let kept = CapabilitySet::from_bits_retain(held & kept);
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::from_bits_retain(ambient),
    };
    set_capabilities(None, sets).map_err(failed)?;
    rustix::thread::clear_ambient_capability_set().map_err(failed)?;
    for number in (0..u64::BITS).filter(|number| ambient & (1 << number) != 0) {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        rustix::thread::configure_capability_in_ambient_set(capability, true)
            .map_err(|error| StepFailed::new("ambient-capabilities", error.raw_os_error()))?;
    }
    Ok(())
}

fn failed(error: Errno) -> StepFailed {
    StepFailed::new("capabilities", error.raw_os_error())
}
