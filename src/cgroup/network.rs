//! `net-classid` and `net-priority` on v2, which has no controllers for them: a program sees each packet that leaves and
//! sets its priority, which is what both come to. tc-htb(8) and tc-prio(8) classify by it; nft(8) matches `meta priority`.

use std::collections::BTreeMap;

use super::assembler::{Assembler, Register};
use super::limits::Failure;
use super::programs::{Name, Program};
use crate::sys::bpf::Kind;
use crate::unit::resources::ClassId;

/// The programs' names, by which they are found again.
pub const CLASS_PROGRAM: Name = (Kind::Egress, *b"svc_net_class\0\0\0");
pub const PRIORITY_PROGRAM: Name = (Kind::Egress, *b"svc_net_prio\0\0\0\0");

/// Offsets in `struct __sk_buff` of linux/bpf.h.
const PRIORITY: u8 = 32;
const INTERFACE: u8 = 40;

/// Each packet belongs to this class.
pub fn class_program(class: ClassId) -> Program {
    let mut program = Assembler::default();
    program.set(Register::Two, class.0);
    program.store(PRIORITY, Register::Two);
    program.answer(1);
    Program {
        name: CLASS_PROGRAM,
        instructions: program.finish(),
    }
}

/// Each packet has the priority of its interface, unless its socket has set one; as net_prio of v1 does it.
pub fn priority_program(priorities: &BTreeMap<Box<str>, u32>) -> Result<Program, Failure> {
    let numbers = priorities.iter().map(|(name, priority)| Ok((index(name)?, *priority)));
    let numbers: Vec<(u32, u32)> = numbers.collect::<Result<_, Failure>>()?;
    Ok(Program {
        name: PRIORITY_PROGRAM,
        instructions: assemble(&numbers),
    })
}

fn assemble(numbers: &[(u32, u32)]) -> Vec<u64> {
    use Register::{Three, Two};
    let mut program = Assembler::default();
    program.load(Two, PRIORITY);
    program.load(Three, INTERFACE);
    let has_one = program.unless(Two, 0);
    for (interface, priority) in numbers {
        let another = program.unless(Three, *interface);
        program.set(Two, *priority);
        program.store(PRIORITY, Two);
        program.land([another]);
    }
    program.land([has_one]);
    program.answer(1);
    program.finish()
}

/// The number of an interface of svcd's own network; netdevice(7).
fn index(name: &str) -> Result<u32, Failure> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
    let found = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .and_then(|socket| netdevice::name_to_index(&socket, name));
    found.map_err(|error| Failure::of(&format!("interface {name}"), &error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::assembler::tests::run;

    fn packet(priority: u32, interface: u32) -> [u32; 11] {
        let mut words = [0; 11];
        (words[8], words[10]) = (priority, interface);
        words
    }

    #[test]
    fn a_class_is_a_priority() {
        let mut seen = packet(3, 2);
        assert_eq!(
            run(&class_program(ClassId(0x10_0001)).instructions, &mut seen),
            1,
            "no packet is dropped"
        );
        assert_eq!(seen, packet(0x10_0001, 2));
    }

    #[test]
    fn priorities_are_by_interface() {
        let program = assemble(&[(2, 5), (3, 6)]);
        for (before, interface, after) in [(0, 2, 5), (0, 3, 6), (0, 1, 0), (4, 2, 4)] {
            let mut seen = packet(before, interface);
            assert_eq!(run(&program, &mut seen), 1);
            assert_eq!(seen, packet(after, interface));
        }
        let lo = [("lo".into(), 1)].into();
        assert!(priority_program(&lo).is_ok());
        let none = [("svc-none0".into(), 1)].into();
        assert_eq!(priority_program(&none).unwrap_err().errno, libc::ENODEV);
    }
}
