// Fast reading and writing of JSON. QuickJS processes a text character by character, which takes most of the time of a
// short script.

#ifndef HOOKWRIGHT_JSON_H
#define HOOKWRIGHT_JSON_H

#include <wasm_simd128.h>

#include "contract.h"
#include "quickjs.h"

// Maximum nesting depth. Deeper values are left to QuickJS, which also reports errors.
enum { JSON_DEPTH = 128 };

// Parses a text. Returns the exception of `JSON.parse` if it is invalid.
JSValue json_read(struct text text, const char *name);

// Writes a value like `JSON.stringify`. Returns false if that throws or does not return a string: then `other` is the
// exception or the result.
bool json_write(JSValueConst value, struct text *text, JSValue *other);

// Returns the number of bytes before the first that needs an escape in a JSON string: a quotation mark, a backslash
// or a control character. If `is_written`, also before bytes that may be an unpaired surrogate.
static inline size_t json_plain_length(const char *bytes, size_t length, bool is_written) {
  size_t index = 0;
  for (; index + 16 <= length; index += 16) {
    v128_t block = wasm_v128_load(bytes + index);
    v128_t ends = wasm_v128_or(wasm_v128_or(wasm_i8x16_eq(block, wasm_i8x16_splat('"')),
                                            wasm_i8x16_eq(block, wasm_i8x16_splat('\\'))),
                               wasm_u8x16_lt(block, wasm_u8x16_splat(0x20)));
    if (is_written) {
      ends = wasm_v128_or(ends, wasm_i8x16_eq(block, wasm_u8x16_splat(0xed)));
    }
    uint32_t mask = wasm_i8x16_bitmask(ends);
    if (mask != 0) {
      return index + (size_t)__builtin_ctz(mask);
    }
  }
  for (; index < length; index++) {
    uint8_t byte = (uint8_t)bytes[index];
    if (byte == '"' || byte == '\\' || byte < 0x20 || (is_written && byte == 0xed)) {
      break;
    }
  }
  return index;
}

// Powers of ten that a double represents exactly.
static const double JSON_POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                     1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

#endif
