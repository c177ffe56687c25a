//! The allocator for guests that live for one call.
//!
//! An instance is thrown away after its call, so there is little to gain from giving memory back: a
//! block is cut from the end of what is used. Two things keep a long call from using memory up. Small blocks go
//! to free lists by size, for templates and scripts which make thousands of short strings; and the last
//! block grows, shrinks and is freed in place, which is what a text being written does.

#![allow(unsafe_code, reason = "an allocator; all of its unsafe code is here")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;

#[global_allocator]
static ALLOCATOR: Bump = Bump(UnsafeCell::new(State { next: 0, end: 0, free: [0; CLASSES] }));

const PAGE: usize = 65_536;
/// All blocks begin and end at multiples of this, which is the alignment of everything but SIMD types.
const GRAIN: usize = 16;
/// Blocks of up to `CLASSES * GRAIN` bytes are used again.
const CLASSES: usize = 64;

struct Bump(UnsafeCell<State>);

struct State {
    /// The first free byte. Zero until the first call.
    next: usize,
    /// The end of memory.
    end: usize,
    /// The first free block of each size, or zero. A free block begins with the address of the next one.
    free: [usize; CLASSES],
}

// SAFETY: a wasm32-unknown-unknown module without the threads proposal has one thread.
unsafe impl Sync for Bump {}

// SAFETY: `take` hands out each byte once, between the linker's heap base and the end of memory, unless it
// was given back; blocks on a free list have the same rounded size, and at least the grain's alignment.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, and nothing in here allocates or panics.
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
        // SAFETY: as in `alloc`.
        let state = unsafe { &mut *self.0.get() };
        let size = round_up(layout.size(), GRAIN);
        if block as usize + size == state.next {
            state.next = block as usize;
        } else if let Some(class) = class_of(size, layout.align()) {
            // SAFETY: the block is ours again, is at least a grain long and aligned to one.
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
            // SAFETY: as in `alloc`; the borrow ends before the calls below.
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
        // SAFETY: the caller's promises about `block` and `layout` are the ones needed; the two blocks are apart, since
        // `block` is still held.
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
    /// Cuts a block from the end, growing memory if need be. Null if there is no more.
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

    /// Growing is a call to the host, so it is by a quarter of what there is, or by the least if that fails.
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

/// Wraps only for sizes which `Layout` does not allow.
fn round_up(value: usize, to: usize) -> usize {
    value.wrapping_add(to - 1) & !(to - 1)
}
