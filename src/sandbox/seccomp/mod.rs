//! The system-call filter: what a unit asks for, as one BPF program that the child gives itself last of all.
//!
//! [`rules`] says what becomes of each call, [`program`] turns that into instructions; [`Filters`] keeps what is made, so
//! that a start costs no more than handing it to the kernel. seccomp(2), bpf(4).

mod program;
mod rules;
#[cfg(test)]
mod tests;

use std::io;
use std::rc::Rc;

use rules::Rules;

use crate::unit::calls::Architecture;
use crate::unit::filter::{CallFilter, Denial, NamespaceKinds, Seccomp, SocketFamilies};
use crate::unit::{Isolation, Personality};

/// All that decides the instructions of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub(super) calls: Seccomp,
    /// The bounding set, whose capabilities the default filter lets be used; None: all.
    pub(super) capabilities: Option<u64>,
    /// Calls, and groups of them, that `protect-` keys take away.
    pub(super) taken: Vec<&'static str>,
    pub(super) namespaces: NamespaceKinds,
    /// The one execution domain that may be asked for.
    pub(super) personality: Option<u32>,
    pub(super) write_execute: bool,
    pub(super) realtime: bool,
    pub(super) suid_sgid: bool,
    pub(super) families: Option<SocketFamilies>,
    /// Empty: all that this machine runs.
    pub(super) architectures: Vec<Architecture>,
}

impl Wanted {
    /// What a unit asks for; `domain` is what its personality is, or svcd's own.
    pub(super) fn of(isolation: &Isolation, domain: u32) -> Self {
        Self {
            calls: isolation.seccomp.clone(),
            capabilities: isolation.bounding(),
            taken: isolation.view.calls_taken(),
            namespaces: isolation.restrict_namespaces,
            personality: isolation.lock_personality.then_some(domain),
            write_execute: isolation.memory_deny_write_execute,
            realtime: isolation.restrict_realtime,
            suid_sgid: isolation.restrict_suid_sgid,
            families: isolation.restrict_address_families.clone(),
            architectures: isolation.system_call_architectures.clone(),
        }
    }

    /// Nothing is asked for, so there is no filter.
    pub(super) fn is_nothing(&self) -> bool {
        let Self {
            calls,
            capabilities: _,
            taken,
            namespaces,
            personality,
            write_execute,
            realtime,
            suid_sgid,
            families,
            architectures,
        } = self;
        *calls == Seccomp::None
            && taken.is_empty()
            && *namespaces == NamespaceKinds::NONE
            && personality.is_none()
            && !(*write_execute || *realtime || *suid_sgid)
            && families.is_none()
            && architectures.is_empty()
    }

    /// Those whose calls are judged. Our own is among them in any case: the program is executed by a call of it.
    fn architectures(&self) -> Vec<Architecture> {
        let mut all = vec![Architecture::NATIVE];
        match (self.architectures.as_slice(), Architecture::NATIVE) {
            ([], Architecture::X86_64) => all.push(Architecture::X86),
            ([], Architecture::X86 | Architecture::Aarch64) => {}
            (listed, native) => all.extend(listed.iter().copied().filter(|listed| *listed != native)),
        }
        all
    }
}

/// A filter, ready for the kernel.
#[derive(Debug)]
pub struct Program(Box<[libc::sock_filter]>);

impl Program {
    /// The filter of what is wanted. E2BIG: it has more instructions than the kernel takes.
    fn new(wanted: &Wanted) -> io::Result<Self> {
        let rules = Rules::new(wanted);
        let each = wanted.architectures().into_iter();
        let verdicts = each.map(|architecture| (architecture, rules.verdicts(architecture)));
        let instructions = program::compile(verdicts);
        if instructions.len() > program::INSTRUCTIONS_MAX {
            return Err(io::Error::from_raw_os_error(libc::E2BIG));
        }
        Ok(Self(instructions.into()))
    }

    /// Lets these calls through, of this machine's own kind, and no other.
    pub(super) fn only(calls: &[&'static str]) -> io::Result<Self> {
        Self::new(&Wanted {
            calls: Seccomp::Calls(Box::new(CallFilter {
                allow: Some(calls.iter().map(|call| Box::from(*call)).collect()),
                deny: Vec::new(),
                denial: Denial::Errno(libc::EPERM as u16),
            })),
            capabilities: Some(0),
            taken: Vec::new(),
            namespaces: NamespaceKinds::NONE,
            personality: None,
            write_execute: false,
            realtime: false,
            suid_sgid: false,
            families: None,
            architectures: vec![Architecture::NATIVE],
        })
    }

    /// Holds for this process and all of its children from now on.
    pub(super) fn install(&self) -> io::Result<()> {
        crate::sys::seccomp::install(&self.0)
    }
}

/// The filters of the units that run: most units want the same one, and a unit wants its own again at each start.
#[derive(Debug, Default)]
pub struct Filters(Vec<(Wanted, Rc<Program>)>);

impl Filters {
    /// The filter of what is wanted, made if no unit has it.
    pub(super) fn get(&mut self, wanted: Wanted) -> io::Result<Rc<Program>> {
        if let Some((_, program)) = self.0.iter().find(|(its, _)| *its == wanted) {
            return Ok(Rc::clone(program));
        }
        let program = Rc::new(Program::new(&wanted)?);
        self.0.retain(|(_, program)| Rc::strong_count(program) > 1);
        self.0.push((wanted, Rc::clone(&program)));
        Ok(program)
    }
}

/// linux/personality.h: PER_LINUX is 0, PER_LINUX32 tells of a 32-bit machine. None: of another machine than this one.
pub(super) fn domain(personality: Personality) -> Option<u32> {
    const LINUX32: u32 = 8;
    match (Architecture::NATIVE, personality) {
        (Architecture::X86_64, Personality::X86_64) | (Architecture::Aarch64, Personality::Aarch64) => Some(0),
        (Architecture::X86_64, Personality::X86) | (Architecture::Aarch64, Personality::Arm) => Some(LINUX32),
        (Architecture::X86_64, Personality::Aarch64 | Personality::Arm)
        | (Architecture::Aarch64, Personality::X86_64 | Personality::X86)
        | (Architecture::X86, _) => None,
    }
}
