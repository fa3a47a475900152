//! keyctl(2): the session keyring of a process, which its children share; keyrings(7).

use std::io;

/// Whether this kernel keeps keys at all, and lets us at them.
///
/// # Errors
/// ENOSYS: it was built without keyrings; EPERM: a filter of the parent's forbids them.
pub fn probe() -> io::Result<()> {
    // Without making one: that there is none yet is no error.
    match keyctl(libc::KEYCTL_GET_KEYRING_ID, libc::KEY_SPEC_SESSION_KEYRING, 0) {
        Err(error) if error.raw_os_error() != Some(libc::ENOKEY) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Leaves the session keyring for a new one that nobody else has.
///
/// # Errors
/// As keyctl(2): EDQUOT, ENOMEM, ENOSYS, EPERM.
pub fn join_new_session() -> io::Result<()> {
    keyctl(libc::KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
}

/// Puts the keyring of the user into the session keyring.
///
/// # Errors
/// As keyctl(2): EDQUOT, ENOMEM, ENOSYS, EPERM.
pub fn link_user_into_session() -> io::Result<()> {
    keyctl(
        libc::KEYCTL_LINK,
        libc::KEY_SPEC_USER_KEYRING,
        libc::KEY_SPEC_SESSION_KEYRING,
    )
}

fn keyctl(operation: u32, first: i32, second: i32) -> io::Result<()> {
    let (first, second) = (libc::c_long::from(first), libc::c_long::from(second));
    // SAFETY: the operations above take numbers; the one that takes a name gets a null pointer, which asks for a keyring
    // without one. None touches memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, operation, first, second) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
