//! Adding to the kernel's pool of randomness; random(4).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

/// `struct rand_pool_info` of linux/random.h, with room for one seed.
#[repr(C)]
struct PoolInfo {
    entropy_count: libc::c_int,
    buf_size: libc::c_int,
    buf: [u8; SEED_BYTES],
}

/// As many bytes as the pool ever held.
pub const SEED_BYTES: usize = 512;

/// `_IOW('R', 0x03, int [2])`; the same number on every architecture but MIPS, PowerPC and SPARC.
const RNDADDENTROPY: u32 = 0x4008_5203;

/// Mixes a seed into the pool of `device` (/dev/urandom), and counts it as `bits` of entropy: 0 for a seed that somebody
/// else may know.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN.
pub fn add_entropy(device: impl AsFd, seed: &[u8; SEED_BYTES], bits: u16) -> io::Result<()> {
    let info = PoolInfo {
        entropy_count: bits.into(),
        buf_size: SEED_BYTES as libc::c_int,
        buf: *seed,
    };
    const { assert!(size_of::<PoolInfo>() == 8 + SEED_BYTES) };
    // SAFETY: the request reads the two numbers, and then as many bytes as the second says, which are all of `info`; it
    // is alive until the call returns, and has no padding.
    let result = unsafe { libc::ioctl(device.as_fd().as_raw_fd(), RNDADDENTROPY as _, &raw const info) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
