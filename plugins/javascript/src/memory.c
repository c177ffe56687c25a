// The allocator, of QuickJS, of libc and of what the host writes.
//
// An instance is thrown away after its call, so a block is cut from the end of what is used. Freed blocks go to a list for
// their size, and the last block grows, shrinks and is freed in place, which is what a text being written does.
// Nothing is ever joined or divided: a script which could use up its memory that way has few instructions to do it with.

#include <string.h>
#include <wasm_simd128.h>

#include "memory.h"

enum {
  PAGE = 65536,
  // All blocks begin at multiples of this, which is the alignment of all that QuickJS keeps.
  GRAIN = 8,
  // Up to this size there is a list for each multiple of the grain, and above, four for each power of two.
  SMALL = 1024,
  SMALL_LISTS = SMALL / GRAIN + 1,
  LISTS = SMALL_LISTS + 4 * 22,
};

// Before each block. The size is without the header.
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

// The list for blocks of this size; the size is rounded up to that of the list's blocks.
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

// Growing is a call to the host, so it is by half of what there is, or by the least if that fails.
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

// Whether there is so much after `from`, growing memory if need be.
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

// libc copies four bytes at a time.
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

// Where libc would bring an allocator of its own.
void *malloc(size_t size) { return memory_allocate(NULL, size); }
void free(void *block) { memory_free(NULL, block); }
void *calloc(size_t count, size_t size) { return memory_calloc(NULL, count, size); }
void *realloc(void *block, size_t size) { return memory_reallocate(NULL, block, size); }

// For what the host writes: with a zero byte after it.
__attribute__((export_name("cabi_realloc")))
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  char *block = memory_reallocate(NULL, old, size + 1);
  if (block == NULL) {
    __builtin_trap();
  }
  block[size] = 0;
  return block;
}
