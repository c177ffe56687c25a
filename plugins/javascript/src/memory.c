// The allocator for QuickJS, libc and data from the host.
//
// An instance is dropped after its call, so blocks are allocated from the end of the used memory. Freed blocks go to a
// list for their size. The last block grows, shrinks and is freed in place, as for a text that is being written. Blocks
// are never merged or split: fuel limits the fragmentation that a script can cause.

#include <string.h>
#include <wasm_simd128.h>

#include "memory.h"

enum {
  PAGE = 65536,
  // Alignment of blocks, enough for all types of QuickJS.
  GRAIN = 8,
  // Up to this size there is one list per multiple of the grain, above it four lists per power of two.
  SMALL = 1024,
  SMALL_LISTS = SMALL / GRAIN + 1,
  LISTS = SMALL_LISTS + 4 * 22,
};

// Header of a block. The size does not include it.
struct block {
  size_t size;
  struct block *next_free;
};

extern char __heap_base;

static char *next = &__heap_base;
static char *end;
static struct block *free_blocks[LISTS];

static char *contents(struct block *block) { return (char *)(block + 1); }

static struct block *header_of(const void *contents) { return (struct block *)contents - 1; }

// Returns the list for blocks of this size, and rounds the size up to that of the list.
static size_t list_for(size_t *size) {
  if (*size <= SMALL) {
    *size = (*size + GRAIN - 1) & ~(size_t)(GRAIN - 1);
    return *size / GRAIN;
  }
  size_t power = 31 - (size_t)__builtin_clz(*size - 1);
  size_t step = (size_t)1 << (power - 2);
  *size = (*size + step - 1) & ~(step - 1);
  return SMALL_LISTS + (power - 10) * 4 + ((*size - 1) >> (power - 2)) - 4;
}

// Grows by half, because growing is a call of the host, or by the minimum if that fails.
static bool grow(size_t missing) {
  size_t least = (missing + PAGE - 1) / PAGE;
  size_t ample = (size_t)end / PAGE / 2;
  if ((ample <= least || __builtin_wasm_memory_grow(0, ample) == (size_t)-1) &&
      __builtin_wasm_memory_grow(0, least) == (size_t)-1) {
    return false;
  }
  end = (char *)(__builtin_wasm_memory_size(0) * PAGE);
  return true;
}

// Ensures that this much memory follows `from`, and grows the memory if necessary.
static bool have(char *from, size_t size) {
  if (end == NULL) {
    end = (char *)(__builtin_wasm_memory_size(0) * PAGE);
  }
  return size <= (size_t)(end - from) || grow(size - (size_t)(end - from));
}

void memory_reserve(size_t size) { have(next, size); }

void *memory_allocate(void *opaque, size_t size) {
  if (size > INT32_MAX) {
    return NULL;
  }
  size_t list = list_for(&size);
  struct block *block = free_blocks[list];
  if (block != NULL) {
    free_blocks[list] = block->next_free;
    return contents(block);
  }
  if (!have(next, sizeof *block + size)) {
    return NULL;
  }
  block = (struct block *)next;
  block->size = size;
  next = contents(block) + size;
  return contents(block);
}

void memory_free(void *opaque, void *freed) {
  if (freed == NULL) {
    return;
  }
  struct block *block = header_of(freed);
  if (contents(block) + block->size == next) {
    next = (char *)block;
    return;
  }
  size_t size = block->size;
  size_t list = list_for(&size);
  block->next_free = free_blocks[list];
  free_blocks[list] = block;
}

void *memory_reallocate(void *opaque, void *old, size_t size) {
  if (old == NULL) {
    return memory_allocate(opaque, size);
  }
  struct block *block = header_of(old);
  if (contents(block) + block->size == next && size <= INT32_MAX) {
    list_for(&size);
    if (!have(contents(block), size)) {
      return NULL;
    }
    block->size = size;
    next = contents(block) + size;
    return old;
  }
  if (size <= block->size) {
    return old;
  }
  void *moved = memory_allocate(opaque, size);
  if (moved != NULL) {
    memcpy(moved, old, block->size);
    memory_free(opaque, old);
  }
  return moved;
}

void *memory_calloc(void *opaque, size_t count, size_t size) {
  size_t total;
  if (__builtin_mul_overflow(count, size, &total)) {
    return NULL;
  }
  void *block = memory_allocate(opaque, total);
  return block == NULL ? NULL : memset(block, 0, total);
}

size_t memory_usable_size(const void *block) { return header_of(block)->size; }

typedef uint64_t __attribute__((aligned(1), may_alias)) unaligned;

// Faster than libc's, which copies four bytes at a time.
__attribute__((no_builtin("memcpy")))
void *memcpy(void *restrict to, const void *restrict from, size_t length) {
  char *at = to;
  const char *source = from;
  for (; length >= 16; length -= 16, at += 16, source += 16) {
    wasm_v128_store(at, wasm_v128_load(source));
  }
  if (length >= 8) {
    *(unaligned *)at = *(const unaligned *)source;
    length -= 8, at += 8, source += 8;
  }
  while (length > 0) {
    *at++ = *source++;
    length--;
  }
  return to;
}

// These replace libc's allocator.
void *malloc(size_t size) { return memory_allocate(NULL, size); }
void free(void *block) { memory_free(NULL, block); }
void *calloc(size_t count, size_t size) { return memory_calloc(NULL, count, size); }
void *realloc(void *block, size_t size) { return memory_reallocate(NULL, block, size); }

// Allocates data from the host, followed by a zero byte.
__attribute__((export_name("cabi_realloc")))
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  char *block = memory_reallocate(NULL, old, size + 1);
  if (block == NULL) {
    __builtin_trap();
  }
  block[size] = 0;
  return block;
}
