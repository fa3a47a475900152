//! The kernel's machine for filters, as far as ours use it.

use libc::{BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};

use crate::sandbox::seccomp::program::INSTRUCTIONS_MAX;
use crate::sandbox::seccomp::rules::Action;

/// What the kernel's machine would answer: linux/filter.h, as far as filters of ours go.
pub fn run(program: &[sock_filter], architecture: u32, number: u32, arguments: [u64; 6]) -> Action {
    let mut data = [number.to_le_bytes(), architecture.to_le_bytes(), [0; 4], [0; 4]].concat();
    data.extend(arguments.iter().flat_map(|argument| argument.to_le_bytes()));
    let (mut accumulator, mut at) = (0, 0);
    for _ in 0..INSTRUCTIONS_MAX {
        let sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        let branch = |taken: bool| usize::from(if taken { jt } else { jf });
        match u32::from(code) {
            code if code == BPF_LD | BPF_W | BPF_ABS => {
                accumulator = u32::from_le_bytes(data[k as usize..][..4].try_into().unwrap());
            }
            code if code == BPF_ALU | BPF_AND | BPF_K => accumulator &= k,
            code if code == BPF_JMP | BPF_JEQ | BPF_K => at += branch(accumulator == k),
            code if code == BPF_JMP | BPF_JGE | BPF_K => at += branch(accumulator >= k),
            code if code == BPF_JMP | BPF_JA => at += k as usize,
            code if code == BPF_RET | BPF_K => {
                return match k {
                    0x7fff_0000 => Action::Allow,
                    0x8000_0000 => Action::Kill,
                    errno if errno & 0xffff_0000 == 0x0005_0000 => Action::Errno(errno as u16),
                    _ => panic!("answer {k:#x}"),
                };
            }
            code => panic!("instruction {code:#x}"),
        }
    }
    panic!("no end");
}
