//! Standard streams for a program that was started without them, as the kernel starts init where no console has a
//! driver. The standard library ends such a program before its main, if there is no /dev/null either; so they are filled
//! in before it looks, by a constructor: gABI, "Initialization and Termination Functions".

/// What is written to the stand-in is refused, and what is read is at its end: it costs no memory, whoever talks to it.
extern "C" fn fill_closed_streams() {
    for stream in 0..=2 {
        // SAFETY: the call takes numbers, and tells whether the descriptor is open.
        if unsafe { libc::fcntl(stream, libc::F_GETFD) } != -1 {
            continue;
        }
        // SAFETY: memfd_create reads a C string, which is static. The new descriptor is the lowest free number, which is
        // this stream's, since those below it are open by now; nobody else exists yet who could own it.
        let stand_in = unsafe { libc::memfd_create(c"no-console".as_ptr(), libc::MFD_ALLOW_SEALING) };
        let seals = libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
        // SAFETY: the call takes numbers; on a descriptor that could not be made it does nothing.
        unsafe { libc::fcntl(stand_in, libc::F_ADD_SEALS, seals) };
    }
}

// SAFETY: what stands in this section is called once before main, with arguments that a C function may leave unread. The
// function makes system calls only, and needs nothing that main's beginning sets up.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = fill_closed_streams;
