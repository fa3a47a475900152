//! The allocator of both programs: dlmalloc's, behind a lock that costs nothing where one thread is all there is. That
//! crate's own is a mutex of the C library's, which took as long as the allocator itself.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

use dlmalloc::Dlmalloc;

/// A heap. A child that a process with one thread has cloned goes on with its copy of it.
pub struct Allocator {
    is_taken: AtomicBool,
    heap: UnsafeCell<Dlmalloc>,
}

// SAFETY: whoever has set `is_taken` alone touches the heap: `Allocator::with`.
unsafe impl Sync for Allocator {}

impl Allocator {
    /// With nothing in it.
    pub const fn empty() -> Self {
        Self {
            is_taken: AtomicBool::new(false),
            heap: UnsafeCell::new(Dlmalloc::new()),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Dlmalloc) -> T) -> T {
        while self.is_taken.swap(true, Ordering::Acquire) {
            std::thread::yield_now();
        }
        // SAFETY: nobody else has it until `is_taken` is false again, and no work of this file allocates.
        let done = work(unsafe { &mut *self.heap.get() });
        self.is_taken.store(false, Ordering::Release);
        done
    }
}

/// Has memory for what a short program allocates ready at once: a fault for each page of it takes three times as long.
/// madvise(2), MADV_POPULATE_WRITE; a kernel before 5.14 has none, and then they come one by one.
pub fn warm() {
    const BYTES: usize = 48 << 10;
    const PAGE: usize = 4096;
    // Given back, it is the next that is given out.
    let mut block: Vec<u8> = Vec::with_capacity(BYTES);
    let begin = block.as_mut_ptr();
    let start = begin.wrapping_add(begin.align_offset(PAGE));
    // SAFETY: the range is whole pages within the block, which is ours; they are not changed by it.
    unsafe { libc::madvise(start.cast(), BYTES - PAGE, libc::MADV_POPULATE_WRITE) };
}

// SAFETY: each is what dlmalloc has for it, with the caller's layout; it does not unwind.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size and alignment may be asked for.
        self.with(|heap| unsafe { heap.malloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is of this heap, with this layout, as the caller promises.
        self.with(|heap| unsafe { heap.free(block, layout.size(), layout.align()) });
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        self.with(|heap| unsafe { heap.calloc(layout.size(), layout.align()) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`.
        self.with(|heap| unsafe { heap.realloc(block, layout.size(), layout.align(), size) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_each_what_they_asked_for() {
        let heap = Allocator::empty();
        std::thread::scope(|threads| {
            for mark in 1..=4_u8 {
                let heap = &heap;
                threads.spawn(move || {
                    for size in 1..2000 {
                        let layout = Layout::from_size_align(size, 8).unwrap();
                        let more = Layout::from_size_align(2 * size, 8).unwrap();
                        // SAFETY: the block is as long as is asked for, nobody else's, and given back as it is.
                        unsafe {
                            let block = heap.alloc_zeroed(layout);
                            assert!((0..size).all(|at| *block.add(at) == 0));
                            block.write_bytes(mark, size);
                            std::thread::yield_now();
                            let block = heap.realloc(block, layout, more.size());
                            assert!((0..size).all(|at| *block.add(at) == mark));
                            heap.dealloc(block, more);
                        }
                    }
                });
            }
        });
    }
}
