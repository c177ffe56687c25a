// Conversions of values to text, and descriptions of values for messages.

#include <stdio.h>
#include <string.h>

#include "memory.h"
#include "state.h"
#include "text.h"

// A string may contain unpaired surrogates, which QuickJS encodes like characters. The host accepts only UTF-8, so
// replace them by U+FFFD, which has the same length.
static void repair(const char *bytes, size_t length) {
  bool suspect = false;
  for (size_t index = 0; index < length; index++) {
    suspect |= (uint8_t)bytes[index] == 0xed;
  }
  if (!suspect) {
    return;
  }
  // Only text in its own buffer has such bytes: text that is shared with a string is ASCII.
  char *writable = (char *)bytes;
  for (size_t index = 0; index + 2 < length; index++) {
    if ((uint8_t)bytes[index] == 0xed && (uint8_t)bytes[index + 1] >= 0xa0) {
      memcpy(writable + index, "\xef\xbf\xbd", 3);
    }
  }
}

bool text_from(JSValueConst value, struct text *text) {
  if (JS_IsSymbol(value)) {
    JSValue name = JS_GetPropertyStr(context, value, "description");
    struct text description = JS_IsString(name) ? text_for_message(name) : (struct text){"", 0};
    char *bytes = memory_allocate(NULL, description.length + sizeof "Symbol()");
    if (bytes == NULL) {
      return false;
    }
    size_t length = (size_t)sprintf(bytes, "Symbol(%.*s)", TEXT_ARGS(description));
    *text = (struct text){bytes, length};
    return true;
  }
  text->bytes = JS_ToCStringLen(context, &text->length, value);
  if (text->bytes == NULL) {
    return false;
  }
  repair(text->bytes, text->length);
  return true;
}

struct text text_for_message(JSValueConst value) {
  struct text text;
  if (text_from(value, &text)) {
    return text;
  }
  JS_FreeValue(context, JS_GetException(context));
  return (struct text){"", 0};
}

struct text property_for_message(JSValueConst object, JSAtom name) {
  JSValue value = JS_GetProperty(context, object, name);
  if (JS_IsException(value)) {
    JS_FreeValue(context, JS_GetException(context));
    return (struct text){"", 0};
  }
  return text_for_message(value);
}

struct text joined(struct text before, const char *between, struct text after) {
  size_t gap = strlen(between);
  char *all = memory_allocate(NULL, before.length + gap + after.length);
  if (all == NULL) {
    return after;
  }
  memcpy(all, before.bytes, before.length);
  memcpy(all + before.length, between, gap);
  memcpy(all + before.length + gap, after.bytes, after.length);
  return (struct text){all, before.length + gap + after.length};
}

// Returns the length of the first hundred characters.
static size_t length_of_excerpt(struct text text) {
  size_t characters = 0;
  for (size_t index = 0; index < text.length; index++) {
    bool begins = ((uint8_t)text.bytes[index] & 0xc0) != 0x80;
    characters += begins;
    if (characters > 100) {
      return index;
    }
  }
  return text.length;
}

static struct text quoted(struct text text) {
  size_t length = length_of_excerpt(text);
  const char *more = length < text.length ? "…" : "";
  char *bytes = memory_allocate(NULL, length + sizeof "…");
  if (bytes == NULL) {
    return (struct text){"", 0};
  }
  sprintf(bytes, "%.*s%s", (int)length, text.bytes, more);
  JSValue string = JS_NewString(context, bytes);
  return text_for_message(JS_JSONStringify(context, string, JS_UNDEFINED, JS_UNDEFINED));
}

struct text description(JSValueConst value) {
  if (JS_IsNull(value) || JS_IsUndefined(value) || JS_IsNumber(value) || JS_IsBool(value)) {
    return text_for_message(value);
  }
  if (JS_IsString(value)) {
    return quoted(text_for_message(value));
  }
  const char *what = JS_IsFunction(context, value)              ? "a function"
                     : JS_IsArray(value)                        ? "an array"
                     : JS_IsSymbol(value)                       ? "a symbol"
                     : JS_IsBigInt(value)                       ? "a bigint"
                     : JS_GetTypedArrayType(value) >= 0         ? "bytes"
                     : JS_IsArrayBuffer(value)                  ? "bytes"
                     : JS_GetClassID(value) == plain_class      ? "an object"
                                                                : NULL;
  if (what != NULL) {
    return (struct text){what, strlen(what)};
  }
  JSAtom name = JS_GetClassName(JS_GetRuntime(context), JS_GetClassID(value));
  return joined((struct text){"an object of the class", 22}, " ", text_for_message(JS_AtomToString(context, name)));
}

bool texts_are_equal(struct text a, struct text b) {
  return a.length == b.length && (a.bytes == b.bytes || memcmp(a.bytes, b.bytes, a.length) == 0);
}

JSValue string_from(struct text text) { return JS_NewStringLen(context, text.bytes, text.length); }

bool is_error(JSValueConst value) {
  if (JS_IsError(value)) {
    return true;
  }
  if (!JS_IsObject(value)) {
    return false;
  }
  // Other classes that inherit from `Error`, such as `DOMException`.
  JSValue global = JS_GetGlobalObject(context);
  JSValue constructor = JS_GetPropertyStr(context, global, "Error");
  int is = JS_IsInstanceOf(context, value, constructor);
  if (is < 0) {
    JS_FreeValue(context, JS_GetException(context));
  }
  return is > 0;
}
