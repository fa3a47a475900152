//! Instructions of the kernel's virtual machine, as many as our programs need. RFC 9669; bpf in the kernel's
//! documentation.

/// A register. What a program is asked about is at `Context`; what it answers is in `Answer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    Answer = 0,
    Context = 1,
    Two = 2,
    Three = 3,
    Four = 4,
    Five = 5,
}

/// A program under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assembler(Vec<u64>);

/// A jump whose end is not known yet.
#[derive(Debug)]
pub struct Jump(usize);

/// Opcodes: class, source of the operand and operation in one byte.
const LOAD_32: u8 = 0x61;
const STORE_32: u8 = 0x63;
const MOVE_32: u8 = 0xb4;
const MOVE_32_REGISTER: u8 = 0xbc;
const AND_32: u8 = 0x54;
const SHIFT_RIGHT_32: u8 = 0x74;
const JUMP_IF_OTHER_32: u8 = 0x56;
const JUMP_IF_OTHER_32_REGISTER: u8 = 0x5e;
const EXIT: u8 = 0x95;

impl Assembler {
    /// `to = *(u32 *)(Context + offset)`
    pub fn load(&mut self, to: Register, offset: u8) {
        self.push(LOAD_32, to, Register::Context, i16::from(offset), 0);
    }

    /// `*(u32 *)(Context + offset) = from`
    pub fn store(&mut self, offset: u8, from: Register) {
        self.push(STORE_32, Register::Context, from, i16::from(offset), 0);
    }

    /// `to = number`
    pub fn set(&mut self, to: Register, number: u32) {
        self.push(MOVE_32, to, Register::Answer, 0, number);
    }

    /// `to = from`
    pub fn copy(&mut self, to: Register, from: Register) {
        self.push(MOVE_32_REGISTER, to, from, 0, 0);
    }

    /// `to &= mask`
    pub fn and(&mut self, to: Register, mask: u32) {
        self.push(AND_32, to, Register::Answer, 0, mask);
    }

    /// `to >>= bits`
    pub fn shift_right(&mut self, to: Register, bits: u32) {
        self.push(SHIFT_RIGHT_32, to, Register::Answer, 0, bits);
    }

    /// Goes on elsewhere unless `register == number`.
    pub fn unless(&mut self, register: Register, number: u32) -> Jump {
        self.push(JUMP_IF_OTHER_32, register, Register::Answer, 0, number);
        Jump(self.0.len())
    }

    /// Goes on elsewhere unless `one == other`.
    pub fn unless_same(&mut self, one: Register, other: Register) -> Jump {
        self.push(JUMP_IF_OTHER_32_REGISTER, one, other, 0, 0);
        Jump(self.0.len())
    }

    /// Jumps end here.
    pub fn land(&mut self, jumps: impl IntoIterator<Item = Jump>) {
        let here = self.0.len();
        for Jump(after) in jumps {
            // Programs of ours are far shorter than what 15 bits can jump over: the kernel takes 4096 unprivileged and
            // refuses what it cannot verify.
            let distance = (here - after) as u64 & 0x7fff;
            if let Some(instruction) = self.0.get_mut(after - 1) {
                *instruction |= distance << 16;
            }
        }
    }

    /// The end, with this answer.
    pub fn answer(&mut self, number: u32) {
        self.set(Register::Answer, number);
        self.push(EXIT, Register::Answer, Register::Answer, 0, 0);
    }

    /// As `struct bpf_insn` lies in memory.
    pub fn finish(self) -> Vec<u64> {
        self.0
    }

    fn push(&mut self, code: u8, to: Register, from: Register, offset: i16, immediate: u32) {
        let registers = (from as u8) << 4 | to as u8;
        let [low, high] = offset.to_ne_bytes();
        let [a, b, c, d] = immediate.to_ne_bytes();
        self.0
            .push(u64::from_ne_bytes([code, registers, low, high, a, b, c, d]));
    }
}

#[cfg(test)]
pub mod tests {
    //! The same instructions, carried out: what a program answers can be asked without a kernel.

    use super::*;

    /// Runs a program on a context of 32-bit words; gives its answer.
    pub fn run(program: &[u64], context: &mut [u32]) -> u32 {
        let mut registers = [0_u32; 6];
        let mut next = 0;
        loop {
            let [code, both, low, high, a, b, c, d] = program[next].to_ne_bytes();
            let (to, from) = (usize::from(both & 0xf), usize::from(both >> 4));
            let (offset, number) = (i16::from_ne_bytes([low, high]), u32::from_ne_bytes([a, b, c, d]));
            let word = usize::try_from(offset).unwrap() / 4;
            next += 1;
            match code {
                LOAD_32 => registers[to] = context[word],
                STORE_32 => context[word] = registers[from],
                MOVE_32 => registers[to] = number,
                MOVE_32_REGISTER => registers[to] = registers[from],
                AND_32 => registers[to] &= number,
                SHIFT_RIGHT_32 => registers[to] >>= number,
                JUMP_IF_OTHER_32 if registers[to] != number => next += usize::try_from(offset).unwrap(),
                JUMP_IF_OTHER_32_REGISTER if registers[to] != registers[from] => {
                    next += usize::try_from(offset).unwrap()
                }
                JUMP_IF_OTHER_32 | JUMP_IF_OTHER_32_REGISTER => {}
                EXIT => return registers[0],
                other => panic!("{other:#x} is no instruction of ours"),
            }
        }
    }

    #[test]
    fn jumps_land() {
        let mut program = Assembler::default();
        program.load(Register::Two, 4);
        let other = program.unless(Register::Two, 7);
        program.answer(1);
        program.land([other]);
        program.answer(0);
        let program = program.finish();
        assert_eq!(run(&program, &mut [0, 7]), 1);
        assert_eq!(run(&program, &mut [0, 8]), 0);
    }
}
