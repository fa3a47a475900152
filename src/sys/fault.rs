//! Faults of the program itself, handled: signal(7), sigaltstack(2).

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The signals that a bug makes: of the kernel for what a program must not do, and of abort(3), which is also what a
/// failed allocation and a panic end in.
pub const FAULTS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];

/// For the handler, since the stack itself may be the fault. Pages that are never touched cost nothing.
const STACK_BYTES: usize = 64 << 10;

static HANDLER: OnceLock<fn(i32)> = OnceLock::new();
static DISARMED: AtomicBool = AtomicBool::new(false);

/// Calls `handler` with the number of each signal of [`FAULTS`], once each; when it returns, the signal does what it
/// does by default. It may call only what is async-signal-safe (signal-safety(7)): no allocation, no lock. The first
/// handler stays.
///
/// # Errors
/// As mmap(2), sigaltstack(2), sigaction(2).
pub fn handle(handler: fn(i32)) -> io::Result<()> {
    HANDLER.get_or_init(|| handler);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: an anonymous mapping at a place of the kernel's choice touches no memory that anybody has.
    let stack = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            STACK_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    if stack == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let stack = libc::stack_t {
        ss_sp: stack,
        ss_flags: 0,
        ss_size: STACK_BYTES,
    };
    // SAFETY: the stack was mapped just now, is used for nothing else, and stays for good; the old one is not asked for.
    if unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for signal in FAULTS {
        // SAFETY: sigaction is plain data, for which all zero bytes are a value: an empty mask and no flags.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_fault as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESETHAND;
        // SAFETY: `action` is alive until the call returns, and its handler touches only atomics and what `handle` was
        // given under the promise to be async-signal-safe; the old action is not asked for.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn on_fault(signal: i32) {
    if !DISARMED.load(Ordering::Relaxed)
        && let Some(handler) = HANDLER.get()
    {
        handler(signal);
    }
    // What was done wrong is done again on return, with the default action by now; a signal that was sent is not.
    // SAFETY: raise takes a number.
    unsafe { libc::raise(signal) };
}

/// This process is a child that is no supervisor: its faults are its own end.
pub fn disarm() {
    DISARMED.store(true, Ordering::Relaxed);
}

/// True in such a child.
pub fn is_disarmed() -> bool {
    DISARMED.load(Ordering::Relaxed)
}
