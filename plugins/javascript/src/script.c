// The script: out of the settings, to a function, and called; and where in it an error came about.

#include <stdlib.h>
#include <string.h>

#include "json.h"

// The script is the body of a function, and may also declare one named `handle`. The head is on the script's first
// line, so that lines count as the tenant's; the tail is on a line of its own, for a script that ends in a comment.
static const char HEAD[] = "0,function (event, request) {";
static const char CALL_HANDLE[] = "\n;if (typeof handle === 'function') return handle(event, request);";
static const char TAIL[] = "\n}";

// What is said of a script that can't be read, as of other settings.
static const char AT_SCRIPT[] = "settings at `script`";

// What scripts are called in stacks, theirs and what they evaluate themselves.
static const char FILE_NAME[] = "<input>";

bool script_read(struct text *script) {
  struct text settings;
  config_get(&settings);
  JSValue object = json_read(settings, "settings");
  if (JS_IsException(object)) {
    return refuse("bad-settings", "the settings aren't JSON");
  }
  JSPropertyEnum *properties;
  uint32_t count;
  if (JS_GetOwnPropertyNames(context, &properties, &count, object, JS_GPN_STRING_MASK) < 0) {
    return refuse("bad-settings", "the settings aren't an object");
  }
  for (uint32_t index = 0; index < count; index++) {
    if (properties[index].atom != names.script) {
      struct text name = text_for_message(JS_AtomToString(context, properties[index].atom));
      return refuse("bad-settings", "settings at `%.*s`: unknown field `%.*s`, expected `script`", SHOWN(name),
                    SHOWN(name));
    }
  }
  JSValue value = JS_GetProperty(context, object, names.script);
  if (!JS_IsString(value) || !text_from(value, script)) {
    return refuse("bad-settings", "settings at `script`: a string with JavaScript is needed");
  }
  return true;
}

static char *append(char *to, const char *bytes, size_t length) {
  memcpy(to, bytes, length);
  return to + length;
}

struct place {
  bool known;
  // The end is told by its line only: something that was opened is not closed.
  bool is_end;
  long line, column;
};

// The first place in a stack that is of evaluated text, as one of the script.
static struct place place_of(JSValueConst error, struct text script) {
  struct text stack = property_for_message(error, names.stack);
  const char *found = memmem(stack.bytes, stack.length, FILE_NAME, sizeof FILE_NAME - 1);
  if (found == NULL || found[sizeof FILE_NAME - 1] != ':') {
    return (struct place){.known = false};
  }
  char *rest;
  struct place place = {.known = true, .column = 1};
  place.line = strtol(found + sizeof FILE_NAME, &rest, 10);
  if (*rest == ':') {
    place.column = strtol(rest + 1, &rest, 10);
  }
  long lines = 1;
  for (size_t index = 0; index < script.length; index++) {
    lines += script.bytes[index] == '\n';
  }
  if (place.line > lines) {
    return (struct place){.known = true, .is_end = true, .line = lines};
  }
  if (place.line == 1) {
    place.column -= sizeof HEAD - 1;
  }
  if (place.column < 1) {
    place.column = 1;
  }
  return place;
}

static bool refuse_at(const char *code, struct place place, struct text name, struct text message) {
  const char *colon = name.length == 0 ? "" : ": ";
  if (!place.known) {
    return refuse(code, "%.*s%s%.*s", SHOWN(name), colon, SHOWN(message));
  }
  if (place.is_end) {
    return refuse(code, "%.*s%s%.*s at the end, line %ld", SHOWN(name), colon, SHOWN(message), place.line);
  }
  return refuse(code, "%.*s%s%.*s at line %ld, column %ld", SHOWN(name), colon, SHOWN(message), place.line,
                place.column);
}

JSValue script_compile(struct text script) {
  char *source = memory_allocate(NULL, sizeof HEAD + script.length + sizeof CALL_HANDLE + sizeof TAIL);
  if (source == NULL) {
    refuse("script-error", "out of memory");
    return JS_UNDEFINED;
  }
  char *end = append(source, HEAD, sizeof HEAD - 1);
  end = append(end, script.bytes, script.length);
  if (memmem(script.bytes, script.length, "handle", 6) != NULL) {
    end = append(end, CALL_HANDLE, sizeof CALL_HANDLE - 1);
  }
  end = append(end, TAIL, sizeof TAIL);
  size_t length = (size_t)(end - source) - 1;
  JSValue function = JS_Eval(context, source, length, FILE_NAME, JS_EVAL_TYPE_GLOBAL);
  if (JS_IsException(function)) {
    JSValue error = JS_GetException(context);
    struct text message = property_for_message(error, names.message);
    refuse_at("bad-settings", place_of(error, script), (struct text){AT_SCRIPT, sizeof AT_SCRIPT - 1}, message);
    return JS_UNDEFINED;
  }
  return function;
}

bool script_call(JSValueConst function, struct text script, JSValueConst event, JSValueConst request,
                 JSValue *result) {
  JSValueConst given[] = {event, request};
  *result = JS_Call(context, function, JS_UNDEFINED, 2, given);
  return !JS_IsException(*result) || refuse_exception(script);
}

bool refuse_exception(struct text script) {
  JSValue error = JS_GetException(context);
  if (!is_error(error)) {
    struct text what = description(error);
    return refuse("script-error", "the script threw %.*s", SHOWN(what));
  }
  struct text name = property_for_message(error, names.name);
  struct text message = property_for_message(error, names.message);
  return refuse_at("script-error", place_of(error, script), name, message);
}
