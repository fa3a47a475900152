//! Verdicts as instructions of classic BPF: for each architecture a binary search over ranges of call numbers.
//! Jumps go forward only and their offsets count from the next instruction; kernel, Documentation/networking/filter.rst.

use libc::{BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};

use super::rules::{Action, Check, UNKNOWN, Verdict};
use crate::unit::calls::Architecture;

/// BPF_MAXINSNS of linux/bpf_common.h.
pub const INSTRUCTIONS_MAX: usize = 4096;

/// Where the kernel puts what is judged: struct seccomp_data of linux/seccomp.h.
const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;
const ARGUMENTS_OFFSET: u32 = 16;

/// The whole filter. A call of an architecture that is not here ends the process.
pub fn compile(verdicts: impl Iterator<Item = (Architecture, Vec<(u32, Verdict)>)>) -> Vec<sock_filter> {
    let mut code = Assembler::default();
    let begins: Vec<(Architecture, Label)> = verdicts
        .map(|(architecture, calls)| {
            let found = code.search(&ranges(calls));
            (architecture, code.before(load(NUMBER_OFFSET), found))
        })
        .collect();
    let mut otherwise = code.answer(Action::Kill);
    for (architecture, begin) in begins.into_iter().rev() {
        otherwise = code.branch(BPF_JEQ, audit(architecture), begin, otherwise);
    }
    code.before(load(ARCHITECTURE_OFFSET), otherwise);
    code.reversed.reverse();
    code.reversed
}

/// AUDIT_ARCH_… of linux/audit.h.
pub fn audit(architecture: Architecture) -> u32 {
    match architecture {
        Architecture::X86_64 => 0xc000_003e,
        Architecture::X86 => 0x4000_0003,
        Architecture::Aarch64 => 0xc000_00b7,
    }
}

/// Where each range of numbers with one verdict begins, over all numbers. Those of x32 have bit 30 set, and so are in
/// the last one, which is unknown.
fn ranges(calls: Vec<(u32, Verdict)>) -> Vec<(u32, Verdict)> {
    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    let mut next = 0;
    let mut begin = |number: u32, verdict: Verdict| {
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((number, verdict));
        }
    };
    for (number, verdict) in calls {
        if number > next {
            begin(next, UNKNOWN);
        }
        begin(number, verdict);
        next = number + 1;
    }
    begin(next, UNKNOWN);
    ranges
}

/// An instruction that is there: its place from the end of the program.
type Label = usize;

/// Puts a program together from its end, so that every jump is to what is there already, and one answer serves many.
#[derive(Default)]
struct Assembler {
    reversed: Vec<sock_filter>,
    /// The nearest place of each answer.
    answers: Vec<(Action, Label)>,
    /// Where a verdict with conditions is reached: many calls have the same, of either architecture.
    judged: Vec<(Verdict, Label)>,
}

impl Assembler {
    /// How far a conditional jump goes, less the jumps that may have to be put before it.
    const NEAR: usize = u8::MAX as usize - 2;

    fn push(&mut self, instruction: sock_filter) -> Label {
        self.reversed.push(instruction);
        self.reversed.len() - 1
    }

    /// From the instruction that is put in next.
    fn distance(&self, to: Label) -> usize {
        self.reversed.len() - 1 - to
    }

    /// An instruction after which `next` is.
    fn before(&mut self, instruction: sock_filter, next: Label) -> Label {
        if self.distance(next) != 0 {
            self.jump(next);
        }
        self.push(instruction)
    }

    fn jump(&mut self, to: Label) -> Label {
        let distance = u32::try_from(self.distance(to)).unwrap_or(u32::MAX);
        self.push(instruction(BPF_JMP | BPF_JA, 0, 0, distance))
    }

    /// `yes` where the comparison holds, else `no`; by a jump in between where that is too far.
    fn branch(&mut self, comparison: u32, value: u32, yes: Label, no: Label) -> Label {
        let [yes, no] = [yes, no].map(|to| match self.distance(to) > Self::NEAR {
            true => self.jump(to),
            false => to,
        });
        let [yes, no] = [yes, no].map(|to| u8::try_from(self.distance(to)).unwrap_or(u8::MAX));
        self.push(instruction(BPF_JMP | comparison | BPF_K, yes, no, value))
    }

    fn answer(&mut self, action: Action) -> Label {
        let known = self.answers.iter().rev().find(|(its, _)| *its == action);
        if let Some((_, label)) = known.filter(|(_, label)| self.distance(*label) <= Self::NEAR) {
            return *label;
        }
        let label = self.push(answer(action));
        self.answers.push((action, label));
        label
    }

    /// The call number is loaded.
    fn search(&mut self, ranges: &[(u32, Verdict)]) -> Label {
        let (low, high) = ranges.split_at(ranges.len() / 2);
        match (low, high) {
            ([], [(_, verdict)]) => self.judge(verdict),
            (_, [(first, _), ..]) => {
                let (yes, no) = (self.search(high), self.search(low));
                self.branch(BPF_JGE, *first, yes, no)
            }
            (_, []) => self.judge(&UNKNOWN),
        }
    }

    fn judge(&mut self, verdict: &Verdict) -> Label {
        if let Some((_, label)) = self.judged.iter().find(|(its, _)| its == verdict) {
            return *label;
        }
        let otherwise = self.answer(verdict.otherwise);
        let checks = verdict.checks.iter().rev();
        let label = checks.fold(otherwise, |next, check| self.check(check, next));
        if !verdict.checks.is_empty() {
            self.judged.push((verdict.clone(), label));
        }
        label
    }

    /// Goes on at `next` where a condition does not hold.
    fn check(&mut self, check: &Check, next: Label) -> Label {
        let hold = self.answer(check.action);
        check.conditions.iter().rev().fold(hold, |hold, condition| {
            let (yes, no) = if condition.equal { (hold, next) } else { (next, hold) };
            let compared = self.branch(BPF_JEQ, condition.value, yes, no);
            let masked = match condition.mask {
                u32::MAX => compared,
                mask => self.before(instruction(BPF_ALU | BPF_AND | BPF_K, 0, 0, mask), compared),
            };
            self.before(load(ARGUMENTS_OFFSET + 8 * u32::from(condition.argument)), masked)
        })
    }
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset)
}

fn answer(action: Action) -> sock_filter {
    let value = match action {
        Action::Allow => libc::SECCOMP_RET_ALLOW,
        Action::Errno(number) => libc::SECCOMP_RET_ERRNO | u32::from(number),
        Action::Kill => libc::SECCOMP_RET_KILL_PROCESS,
    };
    instruction(BPF_RET | BPF_K, 0, 0, value)
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    let code = u16::try_from(code).unwrap_or(u16::MAX);
    sock_filter { code, jt, jf, k }
}
