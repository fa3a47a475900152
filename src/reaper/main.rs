//! PID 1 of a service's pid namespace: it holds the namespaces, reaps orphans, and does nothing else.
//!
//! A program of its own, executed from a sealed memfd, so that no byte of svcd can be reached from within a service
//! (CVE-2019-5736). It has no libc and allocates nothing. svcd ends it with SIGKILL.
//!
//! It has no capabilities: it needs none, and a service that manages its own cgroups could not hand `cpuset` down there
//! otherwise, since until Linux 6.6 that takes as much power as each process has whose CPUs it could change.
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

/// System calls by number: unistd.h of each architecture.
#[cfg(target_arch = "x86_64")]
mod number {
    pub const CAPSET: usize = 126;
    pub const CLOSE_RANGE: usize = 436;
    pub const PRCTL: usize = 157;
    pub const SIGPROCMASK: usize = 14;
    pub const SIGTIMEDWAIT: usize = 128;
    pub const WAIT4: usize = 61;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const CAPSET: usize = 91;
    pub const CLOSE_RANGE: usize = 436;
    pub const PRCTL: usize = 167;
    pub const SIGPROCMASK: usize = 135;
    pub const SIGTIMEDWAIT: usize = 137;
    pub const WAIT4: usize = 260;
}

const PR_SET_DUMPABLE: usize = 4;
const PR_SET_NAME: usize = 15;
const SIG_SETMASK: usize = 2;
const WNOHANG: usize = 1;
const WALL: usize = 0x4000_0000;
/// SIGCHLD is 17: bit 16 of the kernel's signal set, which is 8 bytes long.
const CHILD_SIGNAL: u64 = 1 << 16;
const SET_BYTES: usize = 8;
/// What capset(2) takes: its version 3, and this process; the effective, permitted and inheritable set in two halves.
const CAPABILITY_HEADER: [u32; 2] = [0x2008_0522, 0];
const NO_CAPABILITIES: [u32; 6] = [0; 6];

// The kernel starts a program with the stack pointer at argc, 16-byte aligned; a function expects a return address
// below that, which `call` (x86_64) pushes.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "call {main}", main = sym main);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "bl {main}", main = sym main);

extern "C" fn main() -> ! {
    let all = u64::MAX;
    let name = b"svc-reaper\0";
    let (header, none) = (CAPABILITY_HEADER, NO_CAPABILITIES);
    // SAFETY: each call takes numbers, or the address and length of a value that is alive until it returns.
    unsafe {
        call(number::SIGPROCMASK, [SIG_SETMASK, &raw const all as usize, 0, SET_BYTES]);
        call(number::PRCTL, [PR_SET_NAME, name.as_ptr() as usize, 0, 0]);
        call(number::PRCTL, [PR_SET_DUMPABLE, 0, 0, 0]);
        call(number::CAPSET, [&raw const header as usize, &raw const none as usize, 0, 0]);
        // With the pipe that svcd waits at: no command of the service begins before.
        call(number::CLOSE_RANGE, [0, u32::MAX as usize, 0, 0]);
    }
    loop {
        reap();
        // A child that ended since then has left its signal pending, since it is blocked: none is missed.
        let child = CHILD_SIGNAL;
        // SAFETY: the set is alive until the call returns; no siginfo and no timeout are asked for.
        unsafe { call(number::SIGTIMEDWAIT, [&raw const child as usize, 0, 0, SET_BYTES]) };
    }
}

/// Takes all who have ended.
fn reap() {
    // SAFETY: wait4 takes numbers, and null pointers for what is not asked for.
    while unsafe { call(number::WAIT4, [usize::MAX, 0, WNOHANG | WALL, 0]) } > 0 {}
}

/// One system call with up to four arguments.
///
/// # Safety
/// Whatever the call does to memory must be allowed at the addresses given.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: usize, [a, b, c, d]: [usize; 4]) -> isize {
    let result: isize;
    // SAFETY: the kernel's calling convention; it clobbers rcx and r11 and keeps all else.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    result
}

/// One system call with up to four arguments.
///
/// # Safety
/// Whatever the call does to memory must be allowed at the addresses given.
#[cfg(target_arch = "aarch64")]
unsafe fn call(number: usize, [a, b, c, d]: [usize; 4]) -> isize {
    let result: isize;
    // SAFETY: the kernel's calling convention; it keeps all registers but x0.
    unsafe {
        asm!("svc #0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, options(nostack));
    }
    result
}

/// Nothing here panics; the language wants it all the same.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
