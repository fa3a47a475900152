//! memcpy(3) and memmove(3) where musl's are slow: x86_64. Those copy by `rep movs`, whose beginning alone takes some 40 ns,
//! and nearly all copies of this program are of a few dozen bytes: a start of a service makes thousands. These take 2 to 3 ns
//! for as much. The linker takes them for the C library's, whose object files it then has no use for.

use std::arch::naked_asm;

/// memmove(3).
///
/// Up to 128 bytes are loaded before any is stored, from both ends, which meet in the middle. More are taken in blocks of
/// 64 towards where the two may overlap, but for the block at the far end: that one was loaded first.
///
/// # Safety
/// As memmove(3): `from` has `count` bytes that may be read, `to` has as many that may be written.
// SAFETY: the name is the C library's, and so is what it does: it touches what the caller allows, no register that belongs to
// the caller (System V ABI for AMD64), and no stack.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 16; jae 22f",
        "cmp edx, 8; jae 20f",
        "cmp edx, 4; jae 21f",
        "test edx, edx; je 29f",
        // 1 to 3: the first, the middle and the last.
        "mov ecx, edx; shr ecx",
        "movzx r8d, byte ptr [rsi]; movzx r9d, byte ptr [rsi + rcx]; movzx r10d, byte ptr [rsi + rdx - 1]",
        "mov [rdi], r8b; mov [rdi + rcx], r9b; mov [rdi + rdx - 1], r10b",
        "29: ret",
        // 8 to 15.
        "20: mov rcx, [rsi]; mov r8, [rsi + rdx - 8]",
        "mov [rdi], rcx; mov [rdi + rdx - 8], r8; ret",
        // 4 to 7.
        "21: mov ecx, [rsi]; mov r8d, [rsi + rdx - 4]",
        "mov [rdi], ecx; mov [rdi + rdx - 4], r8d; ret",
        // 16 to 32.
        "22: movups xmm0, [rsi]; movups xmm7, [rsi + rdx - 16]",
        "cmp rdx, 32; ja 23f",
        "movups [rdi], xmm0; movups [rdi + rdx - 16], xmm7; ret",
        // To 64.
        "23: movups xmm1, [rsi + 16]; movups xmm6, [rsi + rdx - 32]",
        "cmp rdx, 64; ja 24f",
        "movups [rdi], xmm0; movups [rdi + 16], xmm1",
        "movups [rdi + rdx - 32], xmm6; movups [rdi + rdx - 16], xmm7; ret",
        // To 128: from here on the first 64 are in 0 to 3 and the last 64 in 4 to 7.
        "24: movups xmm2, [rsi + 32]; movups xmm3, [rsi + 48]",
        "movups xmm4, [rsi + rdx - 64]; movups xmm5, [rsi + rdx - 48]",
        "cmp rdx, 128; jbe 27f",
        "mov rcx, rdi; sub rcx, rsi; cmp rcx, rdx; jb 26f",
        // Forwards: `to` is before `from`, or far behind it.
        "lea r8, [rdi + rdx - 64]",
        "25: movups [rdi], xmm0; movups [rdi + 16], xmm1; movups [rdi + 32], xmm2; movups [rdi + 48], xmm3",
        "add rdi, 64; add rsi, 64",
        "cmp rdi, r8; jae 28f",
        "movups xmm0, [rsi]; movups xmm1, [rsi + 16]; movups xmm2, [rsi + 32]; movups xmm3, [rsi + 48]",
        "jmp 25b",
        "28: movups [r8], xmm4; movups [r8 + 16], xmm5; movups [r8 + 32], xmm6; movups [r8 + 48], xmm7; ret",
        // Backwards.
        "26: movups [rdi + rdx - 64], xmm4; movups [rdi + rdx - 48], xmm5",
        "movups [rdi + rdx - 32], xmm6; movups [rdi + rdx - 16], xmm7",
        "sub rdx, 64; cmp rdx, 64; jbe 30f",
        "movups xmm4, [rsi + rdx - 64]; movups xmm5, [rsi + rdx - 48]",
        "movups xmm6, [rsi + rdx - 32]; movups xmm7, [rsi + rdx - 16]",
        "jmp 26b",
        "27: movups [rdi + rdx - 64], xmm4; movups [rdi + rdx - 48], xmm5",
        "movups [rdi + rdx - 32], xmm6; movups [rdi + rdx - 16], xmm7",
        "30: movups [rdi], xmm0; movups [rdi + 16], xmm1; movups [rdi + 32], xmm2; movups [rdi + 48], xmm3; ret",
    )
}

/// memcpy(3), for which the two may not overlap.
///
/// # Safety
/// As [`memmove`].
// SAFETY: as `memmove`, which goes on with all registers as they are.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    naked_asm!("jmp {}", sym memmove)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that tell where they are from.
    fn pattern() -> Vec<u8> {
        (0..4096_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect()
    }

    fn counts() -> impl Iterator<Item = usize> {
        (0..=400).chain([511, 512, 513, 1000, 1500])
    }

    #[test]
    fn what_is_copied_is_there_and_nothing_else_is_touched() {
        for count in counts() {
            for (to, from) in [(0, 0), (1, 0), (0, 1), (3, 5), (15, 16), (63, 1)] {
                let source = pattern();
                let mut target = vec![0xaa_u8; 4096];
                // SAFETY: both have more than `count` bytes behind where they begin.
                let end = unsafe { memcpy(target.as_mut_ptr().add(to), source.as_ptr().add(from), count) };
                assert_eq!(end, target.as_mut_ptr().wrapping_add(to));
                assert_eq!(target[to..to + count], source[from..from + count], "{count}");
                let around = target[..to].iter().chain(&target[to + count..]);
                assert!(around.into_iter().all(|byte| *byte == 0xaa), "{count}");
            }
        }
    }

    #[test]
    fn what_overlaps_is_moved_as_it_was() {
        for count in counts() {
            for distance in (0..=70).chain([127, 128, 129, 300]) {
                for (to, from) in [(1000, 1000 + distance), (1000 + distance, 1000)] {
                    let before = pattern();
                    let mut bytes = before.clone();
                    let start = bytes.as_mut_ptr();
                    // SAFETY: there are 4096 bytes, and both parts end before that.
                    unsafe { memmove(start.add(to), start.add(from), count) };
                    let mut wanted = before.clone();
                    let moved = before[from..from + count].iter();
                    wanted[to..to + count]
                        .iter_mut()
                        .zip(moved)
                        .for_each(|(to, from)| *to = *from);
                    assert!(bytes == wanted, "{count} bytes from {from} to {to}");
                }
            }
        }
    }
}
