// The allocator. It lives for one call and reuses only some freed blocks.

#ifndef HOOKWRIGHT_MEMORY_H
#define HOOKWRIGHT_MEMORY_H

#include <stddef.h>

// Grows the memory until this much is free.
void memory_reserve(size_t size);
void *memory_calloc(void *opaque, size_t count, size_t size);
void *memory_allocate(void *opaque, size_t size);
void memory_free(void *opaque, void *block);
void *memory_reallocate(void *opaque, void *block, size_t size);
size_t memory_usable_size(const void *block);

#endif
