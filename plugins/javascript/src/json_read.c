// Reading of JSON. Handles the common case: valid text with limited depth. For other text, the result is discarded and
// QuickJS reads it from the beginning, and reports errors.

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "memory.h"
#include "shapes.h"
#include "state.h"
#include "text.h"

// Size of the cache of recent member names, by a hash of their text. Lists repeat the same names.
enum { SEEN = 64 };

enum {
  // Number of elements of a list after which the following objects are expected to have the same members.
  SIMILAR_AFTER = 3,
  // Maximum number of members for this.
  MAX_MEMBERS = 32,
};

struct seen {
  struct text text;
  JSAtom atom;
};

struct reader {
  const char *at;
  const char *end;
  struct seen *seen;
  int depth;
};

// Reads a value. If it returns false, QuickJS must read the text.
static bool read_value(struct reader *reader, JSValue *value);

static void skip_space(struct reader *reader) {
  while (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\t' || *reader->at == '\r') {
    reader->at++;
  }
}

static bool take(struct reader *reader, char byte) {
  skip_space(reader);
  if (*reader->at != byte) {
    return false;
  }
  reader->at++;
  return true;
}

static int hex_digit(char byte) {
  return byte >= '0' && byte <= '9'   ? byte - '0'
         : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
         : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                      : -1;
}

// Reads the four digits after `\u`. The text ends with a zero byte, which is not a digit.
static int32_t read_unit(struct reader *reader) {
  int32_t unit = 0;
  for (int digit = 0; digit < 4; digit++) {
    int value = hex_digit(*reader->at);
    if (value < 0) {
      return -1;
    }
    unit = unit << 4 | value;
    reader->at++;
  }
  return unit;
}

// Unpaired surrogates cannot be encoded in UTF-8, so they are left to QuickJS.
static char *write_escaped_unit(struct reader *reader, char *to) {
  int32_t unit = read_unit(reader);
  if (unit < 0 || (unit >= 0xdc00 && unit < 0xe000)) {
    return NULL;
  }
  if (unit >= 0xd800 && unit < 0xdc00) {
    if (reader->at[0] != '\\' || reader->at[1] != 'u') {
      return NULL;
    }
    reader->at += 2;
    int32_t low = read_unit(reader);
    if (low < 0xdc00 || low >= 0xe000) {
      return NULL;
    }
    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  }
  if (unit < 0x80) {
    *to++ = (char)unit;
  } else if (unit < 0x800) {
    *to++ = (char)(0xc0 | unit >> 6);
    *to++ = (char)(0x80 | (unit & 0x3f));
  } else if (unit < 0x10000) {
    *to++ = (char)(0xe0 | unit >> 12);
    *to++ = (char)(0x80 | (unit >> 6 & 0x3f));
    *to++ = (char)(0x80 | (unit & 0x3f));
  } else {
    *to++ = (char)(0xf0 | unit >> 18);
    *to++ = (char)(0x80 | (unit >> 12 & 0x3f));
    *to++ = (char)(0x80 | (unit >> 6 & 0x3f));
    *to++ = (char)(0x80 | (unit & 0x3f));
  }
  return to;
}

// Reads an escape after the backslash.
static char *write_escaped(struct reader *reader, char *to) {
  switch (*reader->at++) {
  case '"':
    *to++ = '"';
    return to;
  case '\\':
    *to++ = '\\';
    return to;
  case '/':
    *to++ = '/';
    return to;
  case 'b':
    *to++ = '\b';
    return to;
  case 'f':
    *to++ = '\f';
    return to;
  case 'n':
    *to++ = '\n';
    return to;
  case 'r':
    *to++ = '\r';
    return to;
  case 't':
    *to++ = '\t';
    return to;
  case 'u':
    return write_escaped_unit(reader, to);
  default:
    return NULL;
  }
}

// Reads a string with escapes after a plain beginning. The decoded text is never longer than the string.
static bool read_escaped(struct reader *reader, size_t plain, struct text *text) {
  const char *closing = reader->at + plain;
  while (*closing != '"') {
    if (closing >= reader->end) {
      return false;
    }
    closing += *closing == '\\' ? 2 : 1;
  }
  char *bytes = memory_allocate(NULL, (size_t)(closing - reader->at) + 1);
  if (bytes == NULL) {
    return false;
  }
  char *to = bytes;
  for (;;) {
    memcpy(to, reader->at, plain);
    to += plain;
    reader->at += plain;
    if (*reader->at == '"') {
      reader->at++;
      *text = (struct text){bytes, (size_t)(to - bytes)};
      return true;
    }
    if (*reader->at++ != '\\' || (to = write_escaped(reader, to)) == NULL) {
      return false;
    }
    plain = json_plain_length(reader->at, (size_t)(reader->end - reader->at), false);
  }
}

// Reads a string after its first quotation mark.
static bool read_text(struct reader *reader, struct text *text) {
  size_t plain = json_plain_length(reader->at, (size_t)(reader->end - reader->at), false);
  if (reader->at[plain] == '"') {
    *text = (struct text){reader->at, plain};
    reader->at += plain + 1;
    return true;
  }
  return read_escaped(reader, plain, text);
}

static JSAtom name_of(struct reader *reader, struct text text) {
  if (text.length == 0) {
    return JS_NewAtomLen(context, "", 0);
  }
  uint32_t hash = (uint32_t)text.length * 31 + (uint8_t)text.bytes[0] * 7 + (uint8_t)text.bytes[text.length - 1];
  struct seen *seen = &reader->seen[hash % SEEN];
  if (seen->text.length == text.length && memcmp(seen->text.bytes, text.bytes, text.length) == 0) {
    return seen->atom;
  }
  *seen = (struct seen){text, JS_NewAtomLen(context, text.bytes, text.length)};
  return seen->atom;
}

static bool read_object(struct reader *reader, JSValue *value) {
  *value = JS_NewObject(context);
  if (take(reader, '}')) {
    return true;
  }
  do {
    struct text text;
    JSValue member;
    if (!take(reader, '"') || !read_text(reader, &text) || !take(reader, ':') || !read_value(reader, &member)) {
      return false;
    }
    JSAtom name = name_of(reader, text);
    if (JS_DefinePropertyValue(context, *value, name, member, JS_PROP_C_W_E) < 0) {
      return false;
    }
  } while (take(reader, ','));
  return take(reader, '}');
}

// Prepares the shapes for further objects with the same members.
static void expect_similar(JSValueConst object) {
  JSPropertyEnum *properties;
  uint32_t count;
  if (!JS_IsObject(object) || JS_IsArray(object) ||
      JS_GetOwnPropertyNames(context, &properties, &count, object, JS_GPN_STRING_MASK) < 0) {
    return;
  }
  JSAtom members[MAX_MEMBERS];
  for (uint32_t index = 0; index < count && count <= MAX_MEMBERS; index++) {
    members[index] = properties[index].atom;
  }
  shapes_keep(members, count <= MAX_MEMBERS ? count : 0);
  JS_FreePropertyEnum(context, properties, count);
}

static bool read_array(struct reader *reader, JSValue *value) {
  JSValue *items = NULL;
  int count = 0, room = 0;
  if (!take(reader, ']')) {
    do {
      if (count == room) {
        room = room * 2 + 8;
        items = memory_reallocate(NULL, items, (size_t)room * sizeof *items);
        if (items == NULL) {
          return false;
        }
      }
      if (!read_value(reader, &items[count])) {
        return false;
      }
      if (++count == SIMILAR_AFTER) {
        expect_similar(items[count - 1]);
      }
    } while (take(reader, ','));
    if (!take(reader, ']')) {
      return false;
    }
  }
  *value = JS_NewArrayFrom(context, count, items);
  memory_free(NULL, items);
  return true;
}

static bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

static bool read_number(struct reader *reader, JSValue *value) {
  const char *start = reader->at;
  const char *at = start;
  bool negative = *at == '-';
  at += negative;
  if (!is_digit(*at) || (*at == '0' && is_digit(at[1]))) {
    return false;
  }
  uint64_t digits = 0;
  const char *first = at;
  while (is_digit(*at)) {
    digits = digits * 10 + (uint64_t)(*at++ - '0');
  }
  ptrdiff_t count = at - first;
  ptrdiff_t decimals = 0;
  if (*at == '.') {
    first = ++at;
    while (is_digit(*at)) {
      digits = digits * 10 + (uint64_t)(*at++ - '0');
    }
    decimals = at - first;
    if (decimals == 0) {
      return false;
    }
    count += decimals;
  }
  bool has_exponent = *at == 'e' || *at == 'E';
  if (has_exponent) {
    at++;
    at += *at == '+' || *at == '-';
    if (!is_digit(*at)) {
      return false;
    }
    while (is_digit(*at)) {
      at++;
    }
  }
  reader->at = at;
  // The quotient of two integers that are exact as doubles is the double nearest to the number.
  double number = has_exponent || count > 15 ? strtod(start, NULL) : (double)digits / JSON_POWERS[decimals];
  bool has_sign = negative && !has_exponent && count <= 15;
  *value = JS_NewNumber(context, has_sign ? -number : number);
  return true;
}

static bool read_word(struct reader *reader, const char *word, JSValue is, JSValue *value) {
  size_t length = strlen(word);
  if (strncmp(reader->at, word, length) != 0) {
    return false;
  }
  reader->at += length;
  *value = is;
  return true;
}

static bool read_value(struct reader *reader, JSValue *value) {
  skip_space(reader);
  switch (*reader->at) {
  case '"': {
    struct text text;
    reader->at++;
    if (!read_text(reader, &text)) {
      return false;
    }
    *value = string_from(text);
    return !JS_IsException(*value);
  }
  case '{':
  case '[': {
    bool is_object = *reader->at++ == '{';
    if (++reader->depth > JSON_DEPTH) {
      return false;
    }
    bool is_read = is_object ? read_object(reader, value) : read_array(reader, value);
    reader->depth--;
    return is_read;
  }
  case 't':
    return read_word(reader, "true", JS_TRUE, value);
  case 'f':
    return read_word(reader, "false", JS_FALSE, value);
  case 'n':
    return read_word(reader, "null", JS_NULL, value);
  default:
    return read_number(reader, value);
  }
}

JSValue json_read(struct text text, const char *name) {
  static struct seen seen[SEEN];
  memset(seen, 0, sizeof seen);
  struct reader reader = {text.bytes, text.bytes + text.length, seen, 0};
  JSValue value;
  if (read_value(&reader, &value)) {
    skip_space(&reader);
    if (reader.at == reader.end) {
      return value;
    }
  }
  JS_FreeValue(context, JS_GetException(context));
  return JS_ParseJSON(context, text.bytes, text.length, name);
}
