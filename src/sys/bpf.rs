//! bpf(2): programs that the kernel runs for the processes of a cgroup. Only what such programs need; no maps.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What a program is for, with where it is attached; `enum bpf_prog_type` and `enum bpf_attach_type` of linux/bpf.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Asked whether a device may be opened or made: BPF_PROG_TYPE_CGROUP_DEVICE at BPF_CGROUP_DEVICE.
    Device,
    /// Sees each packet that leaves: BPF_PROG_TYPE_CGROUP_SKB at BPF_CGROUP_INET_EGRESS.
    Egress,
}

/// Length of a program's name, its NUL included; BPF_OBJ_NAME_LEN.
pub const NAME_BYTES: usize = 16;

impl Kind {
    fn program_type(self) -> u32 {
        match self {
            Self::Device => 15,
            Self::Egress => 8,
        }
    }

    fn attach_type(self) -> u32 {
        match self {
            Self::Device => 6,
            Self::Egress => 1,
        }
    }
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const PROG_QUERY: libc::c_int = 16;
/// BPF_F_ALLOW_MULTI: those of groups below come on top, and all must agree.
const ALLOW_MULTI: u32 = 2;

/// Loads a program, each instruction as `struct bpf_insn` lies in memory. It goes when its last descriptor is closed and
/// it is attached nowhere.
///
/// # Errors
/// EPERM without CAP_BPF (or CAP_SYS_ADMIN), EINVAL where the kernel knows no such kind or its verifier refuses it,
/// ENOSYS without BPF.
pub fn load(kind: Kind, name: [u8; NAME_BYTES], instructions: &[u64]) -> io::Result<Loaded> {
    /// The first fields of `union bpf_attr` for BPF_PROG_LOAD.
    #[repr(C)]
    struct Load {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; NAME_BYTES],
        prog_ifindex: u32,
        expected_attach_type: u32,
    }
    let license = c"MIT";
    let mut attributes = Load {
        prog_type: kind.program_type(),
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: name,
        prog_ifindex: 0,
        expected_attach_type: kind.attach_type(),
    };
    /// So often it is tried where a signal interrupts the verifier, such as that of a child's end: EAGAIN.
    const TRIES_MAX: u32 = 5;
    let mut tries = 1;
    let fd = loop {
        // SAFETY: BPF_PROG_LOAD reads `insn_cnt` instructions of 8 bytes at `insns` and a C string at `license`, both alive
        // until the call returns; the other pointers are null with a length of 0.
        match unsafe { bpf(PROG_LOAD, &mut attributes) } {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && tries < TRIES_MAX => tries += 1,
            loaded => break loaded?,
        }
    };
    // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
    describe(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The fields of `union bpf_attr` for BPF_PROG_ATTACH and BPF_PROG_DETACH.
#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

impl Attach {
    fn new(kind: Kind, cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Self {
        Self {
            target_fd: cgroup.as_raw_fd() as u32,
            attach_bpf_fd: program.as_raw_fd() as u32,
            attach_type: kind.attach_type(),
            attach_flags: 0,
            replace_bpf_fd: 0,
        }
    }
}

/// Attaches a program to a cgroup v2 directory, beside those that are there and those of the groups above.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN or CAP_SYS_ADMIN, or where a group above allows no others; EINVAL without CGROUP_BPF.
pub fn attach(kind: Kind, cgroup: impl AsFd, program: impl AsFd) -> io::Result<()> {
    let mut attributes = Attach::new(kind, cgroup.as_fd(), program.as_fd());
    attributes.attach_flags = ALLOW_MULTI;
    // SAFETY: the attributes hold numbers and descriptors that the caller keeps open; no pointer.
    unsafe { bpf(PROG_ATTACH, &mut attributes) }.map(|_| ())
}

/// Undoes [`attach`].
///
/// # Errors
/// As there; ENOENT where it is not attached.
pub fn detach(kind: Kind, cgroup: impl AsFd, program: impl AsFd) -> io::Result<()> {
    let mut attributes = Attach::new(kind, cgroup.as_fd(), program.as_fd());
    // SAFETY: as in `attach`.
    unsafe { bpf(PROG_DETACH, &mut attributes) }.map(|_| ())
}

/// A program that is loaded.
#[derive(Debug)]
pub struct Loaded {
    /// Itself.
    pub program: OwnedFd,
    /// Its number; two with the same are one.
    pub id: u32,
    /// What it was named when it was loaded.
    pub name: [u8; NAME_BYTES],
}

/// The programs that are attached to this very group.
///
/// # Errors
/// As [`attach`]. ENOSPC: there are more than 64, as many as the kernel lets there be.
pub fn attached(kind: Kind, cgroup: impl AsFd) -> io::Result<Vec<Loaded>> {
    /// BPF_CGROUP_MAX_PROGS.
    const PROGRAMS_MAX: usize = 64;
    /// The fields of `union bpf_attr` for BPF_PROG_QUERY. All of them: a new kernel writes the last one whatever length
    /// it is told.
    #[repr(C)]
    struct Query {
        target_fd: u32,
        attach_type: u32,
        query_flags: u32,
        attach_flags: u32,
        prog_ids: u64,
        prog_cnt: u32,
        unused: u32,
        prog_attach_flags: u64,
        link_ids: u64,
        link_attach_flags: u64,
        revision: u64,
    }
    let mut ids = [0_u32; PROGRAMS_MAX];
    let mut attributes = Query {
        target_fd: cgroup.as_fd().as_raw_fd() as u32,
        attach_type: kind.attach_type(),
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: PROGRAMS_MAX as u32,
        unused: 0,
        prog_attach_flags: 0,
        link_ids: 0,
        link_attach_flags: 0,
        revision: 0,
    };
    // SAFETY: BPF_PROG_QUERY writes at most `prog_cnt` numbers at `prog_ids`, an array of that many, alive until it
    // returns; it writes how many into the attributes.
    unsafe { bpf(PROG_QUERY, &mut attributes) }?;
    let ids = ids.iter().take(attributes.prog_cnt as usize);
    ids.map(|id| describe(by_id(*id)?)).collect()
}

fn by_id(id: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct ById {
        id: u32,
        next_id: u32,
        open_flags: u32,
    }
    let mut attributes = ById {
        id,
        next_id: 0,
        open_flags: 0,
    };
    // SAFETY: the attributes hold numbers only.
    let fd = unsafe { bpf(PROG_GET_FD_BY_ID, &mut attributes) }?;
    // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn describe(program: OwnedFd) -> io::Result<Loaded> {
    /// The first fields of `struct bpf_prog_info`, up to the name.
    #[repr(C)]
    struct ProgramInfo {
        prog_type: u32,
        id: u32,
        unused: [u64; 7],
        name: [u8; NAME_BYTES],
    }
    #[repr(C)]
    struct GetInfo {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }
    let mut info = ProgramInfo {
        prog_type: 0,
        id: 0,
        unused: [0; 7],
        name: [0; NAME_BYTES],
    };
    let mut attributes = GetInfo {
        bpf_fd: program.as_raw_fd() as u32,
        info_len: size_of::<ProgramInfo>() as u32,
        info: &raw mut info as u64,
    };
    // SAFETY: BPF_OBJ_GET_INFO_BY_FD reads and writes at most `info_len` bytes at `info`, which is that long, all zero
    // (so that the kernel follows no pointer in it) and alive until the call returns.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attributes) }?;
    Ok(Loaded {
        program,
        id: info.id,
        name: info.name,
    })
}

/// # Safety
/// `attributes` is laid out as the command wants it, and what it points to is alive and as long as it says.
unsafe fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes at `attributes`, alive until it returns, and takes what lies beyond
    // as zero; it may write to that many. The caller answers for what they say.
    match unsafe { libc::syscall(libc::SYS_bpf, command, attributes as *mut T, size_of::<T>()) } {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result as i32),
    }
}
