// Writing of JSON. Handles the common case: plain objects and arrays of plain data with limited depth. If a value
// contains anything else, such as a getter, a `toJSON`, a date or a cycle, the output is discarded and QuickJS writes
// the value from the beginning. No code of the script has run by then, except for getters as array elements or as
// `toJSON`.

#include <math.h>
#include <string.h>

#include "json.h"
#include "memory.h"
#include "state.h"
#include "text.h"

struct writer {
  char *bytes;
  size_t length;
  size_t room;
  int depth;
};

static bool write_value(struct writer *writer, JSValueConst value);

// Ensures space for this much and for a few more bytes.
static bool have_room(struct writer *writer, size_t more) {
  size_t needed = writer->length + more + 32;
  if (needed <= writer->room) {
    return true;
  }
  writer->room = needed * 2;
  writer->bytes = memory_reallocate(NULL, writer->bytes, writer->room);
  return writer->bytes != NULL;
}

static bool write_bytes(struct writer *writer, const char *bytes, size_t length) {
  if (!have_room(writer, length)) {
    return false;
  }
  memcpy(writer->bytes + writer->length, bytes, length);
  writer->length += length;
  return true;
}

static bool write_byte(struct writer *writer, char byte) {
  writer->bytes[writer->length++] = byte;
  return have_room(writer, 0);
}

static bool write_unit(struct writer *writer, uint32_t unit) {
  static const char DIGITS[] = "0123456789abcdef";
  char escape[] = {'\\', 'u', DIGITS[unit >> 12 & 15], DIGITS[unit >> 8 & 15], DIGITS[unit >> 4 & 15], DIGITS[unit & 15]};
  return write_bytes(writer, escape, sizeof escape);
}

// Writes the escape of the first byte. `taken` is the number of bytes that it replaces.
static bool write_escaped(struct writer *writer, const char *bytes, size_t *taken) {
  uint8_t byte = (uint8_t)bytes[0];
  *taken = 1;
  switch (byte) {
  case '"':
    return write_bytes(writer, "\\\"", 2);
  case '\\':
    return write_bytes(writer, "\\\\", 2);
  case '\b':
    return write_bytes(writer, "\\b", 2);
  case '\f':
    return write_bytes(writer, "\\f", 2);
  case '\n':
    return write_bytes(writer, "\\n", 2);
  case '\r':
    return write_bytes(writer, "\\r", 2);
  case '\t':
    return write_bytes(writer, "\\t", 2);
  case 0xed: {
    // An unpaired surrogate in QuickJS's encoding, or another character.
    uint32_t second = (uint8_t)bytes[1];
    *taken = 3;
    return second >= 0xa0 ? write_unit(writer, 0xd000 | (second & 0x3f) << 6 | (bytes[2] & 0x3f))
                          : write_bytes(writer, bytes, 3);
  }
  default:
    return write_unit(writer, byte);
  }
}

static bool write_string(struct writer *writer, const char *bytes, size_t length) {
  if (bytes == NULL || !write_byte(writer, '"')) {
    return false;
  }
  for (;;) {
    size_t plain = json_plain_length(bytes, length, true);
    if (!write_bytes(writer, bytes, plain)) {
      return false;
    }
    bytes += plain;
    length -= plain;
    if (length == 0) {
      return write_byte(writer, '"');
    }
    size_t taken;
    if (!write_escaped(writer, bytes, &taken)) {
      return false;
    }
    bytes += taken;
    length -= taken;
  }
}

// Writes digits with this many decimals.
static bool write_decimal(struct writer *writer, bool negative, uint64_t digits, int decimals) {
  char text[24];
  char *at = text + sizeof text;
  for (int written = 0; digits != 0 || written <= decimals; written++) {
    if (written == decimals && decimals > 0) {
      *--at = '.';
    }
    *--at = (char)('0' + digits % 10);
    digits /= 10;
  }
  if (negative) {
    *--at = '-';
  }
  return write_bytes(writer, at, (size_t)(text + sizeof text - at));
}

static bool write_number(struct writer *writer, JSValueConst value) {
  if (JS_VALUE_GET_TAG(value) == JS_TAG_INT) {
    int64_t integer = JS_VALUE_GET_INT(value);
    return write_decimal(writer, integer < 0, (uint64_t)(integer < 0 ? -integer : integer), 0);
  }
  double number = JS_VALUE_GET_FLOAT64(value);
  if (!isfinite(number)) {
    return write_bytes(writer, "null", 4);
  }
  // Decimals of at most fifteen digits are distinct as doubles. So one that round-trips is the shortest one, which
  // JavaScript writes.
  double size = fabs(number);
  for (int decimals = 0; decimals <= 6 && size * JSON_POWERS[decimals] < 1e15; decimals++) {
    uint64_t digits = (uint64_t)(size * JSON_POWERS[decimals] + 0.5);
    if ((double)digits / JSON_POWERS[decimals] == size) {
      return write_decimal(writer, number < 0, digits, decimals);
    }
  }
  size_t length;
  const char *bytes = JS_ToCStringLen(context, &length, value);
  return bytes != NULL && write_bytes(writer, bytes, length);
}

static bool is_omitted(JSValueConst value) {
  return JS_IsUndefined(value) || JS_IsSymbol(value) || JS_IsFunction(context, value);
}

static bool write_object(struct writer *writer, JSValueConst object) {
  JSPropertyEnum *properties;
  uint32_t count;
  if (JS_GetOwnPropertyNames(context, &properties, &count, object, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY) < 0 ||
      !write_byte(writer, '{')) {
    return false;
  }
  bool is_first = true;
  for (uint32_t index = 0; index < count; index++) {
    JSPropertyDescriptor property;
    int is_there = JS_GetOwnProperty(context, &property, object, properties[index].atom);
    if (is_there <= 0 || (property.flags & JS_PROP_GETSET) != 0) {
      return false;
    }
    if (is_omitted(property.value)) {
      continue;
    }
    if (!is_first && !write_byte(writer, ',')) {
      return false;
    }
    is_first = false;
    size_t length;
    const char *name = JS_AtomToCStringLen(context, &length, properties[index].atom);
    if (!write_string(writer, name, length) || !write_byte(writer, ':') || !write_value(writer, property.value)) {
      return false;
    }
    JS_FreeCString(context, name);
    JS_FreeValue(context, property.value);
  }
  JS_FreePropertyEnum(context, properties, count);
  return write_byte(writer, '}');
}

static bool write_array(struct writer *writer, JSValueConst array) {
  int64_t length;
  if (JS_GetLength(context, array, &length) < 0 || !write_byte(writer, '[')) {
    return false;
  }
  for (int64_t index = 0; index < length; index++) {
    JSValue value = JS_GetPropertyInt64(context, array, index);
    if (JS_IsException(value) || (index > 0 && !write_byte(writer, ',')) ||
        !(is_omitted(value) ? write_bytes(writer, "null", 4) : write_value(writer, value))) {
      return false;
    }
    JS_FreeValue(context, value);
  }
  return write_byte(writer, ']');
}

// Whether an object is an array or a plain object, without `toJSON`.
static bool is_plain(JSValueConst object) {
  if (!JS_IsArray(object) && JS_GetClassID(object) != plain_class) {
    return false;
  }
  JSValue to_json = JS_GetProperty(context, object, names.to_json);
  return JS_IsUndefined(to_json);
}

static bool write_value(struct writer *writer, JSValueConst value) {
  if (JS_IsString(value)) {
    size_t length;
    const char *bytes = JS_ToCStringLen(context, &length, value);
    bool is_written = write_string(writer, bytes, length);
    JS_FreeCString(context, bytes);
    return is_written;
  }
  if (JS_IsNumber(value)) {
    return write_number(writer, value);
  }
  if (JS_IsBool(value)) {
    return JS_VALUE_GET_BOOL(value) ? write_bytes(writer, "true", 4) : write_bytes(writer, "false", 5);
  }
  if (JS_IsNull(value)) {
    return write_bytes(writer, "null", 4);
  }
  if (!JS_IsObject(value) || !is_plain(value) || ++writer->depth > JSON_DEPTH) {
    return false;
  }
  bool is_written = JS_IsArray(value) ? write_array(writer, value) : write_object(writer, value);
  writer->depth--;
  return is_written;
}

bool json_write(JSValueConst value, struct text *text, JSValue *other) {
  struct writer writer = {.room = 0};
  if (have_room(&writer, 1024) && write_value(&writer, value)) {
    *text = (struct text){writer.bytes, writer.length};
    return true;
  }
  JS_FreeValue(context, JS_GetException(context));
  *other = JS_JSONStringify(context, value, JS_UNDEFINED, JS_UNDEFINED);
  return JS_IsString(*other) && text_from(*other, text);
}
