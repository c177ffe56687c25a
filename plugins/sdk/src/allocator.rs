//! An allocator for guests that live for one call.
//!
//! An instance is dropped after its call, so freeing memory gains little: blocks are allocated from the end of the used
//! memory. Two measures limit the memory of a long call. Small blocks go to free lists by size, for templates and
//! scripts that create thousands of short strings. The last block grows, shrinks and is freed in place, as for a text
//! that is being written.

#![allow(unsafe_code, reason = "an allocator")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;

#[global_allocator]
static ALLOCATOR: Bump = Bump(UnsafeCell::new(State { next: 0, end: 0, free: [0; CLASSES] }));

const PAGE: usize = 65_536;
/// Alignment and granularity of blocks: the alignment of all types except SIMD types.
const GRAIN: usize = 16;
/// Number of size classes. Blocks of up to `CLASSES * GRAIN` bytes are reused.
const CLASSES: usize = 64;

struct Bump(UnsafeCell<State>);

struct State {
    /// The first free byte. Zero until the first call.
    next: usize,
    /// The end of memory.
    end: usize,
    /// The first free block of each class, or zero. A free block begins with the address of the next one.
    free: [usize; CLASSES],
}

// SAFETY: a wasm32-unknown-unknown module without the threads proposal has one thread.
unsafe impl Sync for Bump {}

// SAFETY: `take` returns each byte between the linker's heap base and the end of memory at most once, unless it was
// freed. Blocks on a free list have the same rounded size and are aligned to the grain.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: there is one thread, and this code neither allocates nor panics.
        let state = unsafe { &mut *self.0.get() };
        let size = round_up(layout.size(), GRAIN);
        if let Some(class) = class_of(size, layout.align()) {
            let block = state.free[class];
            if block != 0 {
                // SAFETY: `dealloc` wrote the address of the next free block here.
                state.free[class] = unsafe { *(block as *const usize) };
                return block as *mut u8;
            }
        }
        state.take(size, layout.align().max(GRAIN))
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: see `alloc`.
        let state = unsafe { &mut *self.0.get() };
        let size = round_up(layout.size(), GRAIN);
        if block as usize + size == state.next {
            state.next = block as usize;
        } else if let Some(class) = class_of(size, layout.align()) {
            // SAFETY: the block is free, is at least one grain long, and is aligned to one.
            unsafe { *block.cast::<usize>() = state.free[class] };
            state.free[class] = block as usize;
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let (old, new) = (round_up(layout.size(), GRAIN), round_up(new_size, GRAIN));
        if new == old {
            return block;
        }
        {
            // SAFETY: see `alloc`. The borrow ends before the calls below.
            let state = unsafe { &mut *self.0.get() };
            if block as usize + old == state.next {
                state.next = block as usize;
                let same = state.take(new, GRAIN);
                if same.is_null() {
                    state.next = block as usize + old;
                }
                return same;
            }
        }
        // SAFETY: the caller guarantees the requirements for `block` and `layout`. The blocks do not overlap because
        // `block` is still allocated.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !moved.is_null() {
                core::ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

impl State {
    /// Allocates a block at the end, and grows the memory if necessary. Returns null if it cannot grow.
    fn take(&mut self, size: usize, align: usize) -> *mut u8 {
        if self.next == 0 {
            self.begin();
        }
        let start = round_up(self.next, align);
        let Some(next) = start.checked_add(size) else { return null_mut() };
        if next > self.end && !self.grow(next - self.end) {
            return null_mut();
        }
        self.next = next;
        start as *mut u8
    }

    fn begin(&mut self) {
        unsafe extern "C" {
            static __heap_base: u8;
        }
        self.next = round_up(&raw const __heap_base as usize, GRAIN);
        self.end = core::arch::wasm32::memory_size(0) * PAGE;
    }

    /// Grows by a quarter, because growing is a call of the host, or by the minimum if that fails.
    fn grow(&mut self, missing: usize) -> bool {
        let least = missing.div_ceil(PAGE);
        let ample = least.max(self.end / PAGE / 4);
        let refused = usize::MAX;
        if core::arch::wasm32::memory_grow(0, ample) == refused
            && core::arch::wasm32::memory_grow(0, least) == refused
        {
            return false;
        }
        self.end = core::arch::wasm32::memory_size(0) * PAGE;
        true
    }
}

fn class_of(size: usize, align: usize) -> Option<usize> {
    (size != 0 && size <= CLASSES * GRAIN && align <= GRAIN).then(|| size / GRAIN - 1)
}

/// Wraps only for sizes that `Layout` does not allow.
fn round_up(value: usize, to: usize) -> usize {
    value.wrapping_add(to - 1) & !(to - 1)
}
