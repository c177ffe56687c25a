// Reads the script from the settings, compiles it, calls it, and reports errors with their location.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuel.h"
#include "introspection.h"
#include "json.h"
#include "memory.h"
#include "script.h"
#include "state.h"
#include "text.h"

// The script is the body of a function, and may declare a function `handle`. The head is on the script's first line, so
// that line numbers match the tenant's. The tail is on its own line, for a script that ends with a comment. If `handle`
// is not declared, the tail returns the script's own function as a marker.
static const char HEAD[] = "0,function $script(event, request) {";
static const char CALL_HANDLE[] = "\n;return typeof handle === 'function' ? handle(event, request) : $script;";
static const char TAIL[] = "\n}";

// Prefix of messages about the script, in the format of messages about other settings.
static const char AT_SCRIPT[] = "settings at `script`";

// Hint for the author of a module.
static const char NO_MODULE[] = "; a script is not a module: declare `function handle(event, request)`, without `export`, "
                                "`import`, `module` and `require`";

// Hint for the author of a script without effect.
static const char USE[] = "return what to send, change `request`, or declare `function handle(event, request)`";

// File name of evaluated text in stack traces.
static const char FILE_NAME[] = "<input>";

bool script_read(struct text *script) {
  struct text settings;
  config_get(&settings);
  JSValue object = json_read(settings, "settings");
  if (JS_IsException(object)) {
    return refuse("bad-settings", "the settings must be JSON");
  }
  JSPropertyEnum *properties;
  uint32_t count;
  if (JS_GetOwnPropertyNames(context, &properties, &count, object, JS_GPN_STRING_MASK) < 0) {
    return refuse("bad-settings", "the settings must be an object");
  }
  for (uint32_t index = 0; index < count; index++) {
    if (properties[index].atom != names.script) {
      struct text name = text_for_message(JS_AtomToString(context, properties[index].atom));
      return refuse("bad-settings", "settings at `%.*s`: unknown field `%.*s`, expected `script`", TEXT_ARGS(name),
                    TEXT_ARGS(name));
    }
  }
  JSValue value = JS_GetProperty(context, object, names.script);
  if (!JS_IsString(value) || !text_from(value, script)) {
    return refuse("bad-settings", "settings at `script`: must be a string with JavaScript");
  }
  return true;
}

static char *append(char *to, const char *bytes, size_t length) {
  memcpy(to, bytes, length);
  return to + length;
}

struct location {
  bool known;
  // At the end of the script only the line is reported: something is not closed.
  bool is_end;
  long line, column;
};

// Returns the first location of evaluated text in a stack trace, relative to the script.
static struct location location_of(JSValueConst error, struct text script) {
  struct text stack = property_for_message(error, names.stack);
  const char *found = memmem(stack.bytes, stack.length, FILE_NAME, sizeof FILE_NAME - 1);
  if (found == NULL || found[sizeof FILE_NAME - 1] != ':') {
    return (struct location){.known = false};
  }
  char *rest;
  struct location location = {.known = true, .column = 1};
  location.line = strtol(found + sizeof FILE_NAME, &rest, 10);
  if (*rest == ':') {
    location.column = strtol(rest + 1, &rest, 10);
  }
  long lines = 1;
  for (size_t index = 0; index < script.length; index++) {
    lines += script.bytes[index] == '\n';
  }
  if (location.line > lines) {
    return (struct location){.known = true, .is_end = true, .line = lines};
  }
  if (location.line == 1) {
    location.column -= sizeof HEAD - 1;
  }
  if (location.column < 1) {
    location.column = 1;
  }
  return location;
}

// `hint` is appended: what to do, if known.
static bool refuse_at(const char *code, struct location location, struct text name, struct text message, const char *hint) {
  const char *colon = name.length == 0 ? "" : ": ";
  if (!location.known) {
    return refuse(code, "%.*s%s%.*s%s", TEXT_ARGS(name), colon, TEXT_ARGS(message), hint);
  }
  if (location.is_end) {
    return refuse(code, "%.*s%s%.*s at the end, line %ld%s", TEXT_ARGS(name), colon, TEXT_ARGS(message), location.line, hint);
  }
  return refuse(code, "%.*s%s%.*s at line %ld, column %ld%s", TEXT_ARGS(name), colon, TEXT_ARGS(message), location.line,
                location.column, hint);
}

// Whether the script may declare a function `handle`, so that the tail must call it.
static bool has_tail(struct text script) { return memmem(script.bytes, script.length, "handle", 6) != NULL; }

static bool refuse_script(struct location location, struct text message, const char *hint) {
  return refuse_at("bad-settings", location, (struct text){AT_SCRIPT, sizeof AT_SCRIPT - 1}, message, hint);
}

// Whether a line of the script begins with this word.
static bool line_begins_with(struct text script, long line, const char *word) {
  const char *at = script.bytes;
  for (long before = 1; before < line && at != NULL; before++) {
    at = memchr(at, '\n', script.length - (size_t)(at - script.bytes));
    at += at != NULL;
  }
  // The script ends in a zero byte.
  return at != NULL && strncmp(at + strspn(at, " \t"), word, strlen(word)) == 0;
}

// Refuses a script that is not the body of a function, such as a module.
static bool refuse_syntax(struct text script) {
  JSValue error = JS_GetException(context);
  struct text message = property_for_message(error, names.message);
  struct location location = location_of(error, script);
  bool is_module = memmem(message.bytes, message.length, "export", 6) != NULL ||
                   (location.known && line_begins_with(script, location.line, "import"));
  return refuse_script(location, message, is_module ? NO_MODULE : "");
}

// Whether the code contains only the script's function. A script with an extra closing brace ends the function early,
// and its rest would run outside. Any instruction outside makes the code longer than the code around a known script.
static bool is_one_function(JSValueConst code) {
  static int expected;
  int length = code_length_around_function(code);
  if (expected == 0) {
    expected = length;
  }
  return length != 0 && length == expected;
}

JSValue script_compile(struct text script) {
  char *source = memory_allocate(NULL, sizeof HEAD + script.length + sizeof CALL_HANDLE + sizeof TAIL);
  if (source == NULL) {
    refuse("script-error", "out of memory");
    return JS_UNDEFINED;
  }
  char *end = append(source, HEAD, sizeof HEAD - 1);
  end = append(end, script.bytes, script.length);
  if (has_tail(script)) {
    end = append(end, CALL_HANDLE, sizeof CALL_HANDLE - 1);
  }
  end = append(end, TAIL, sizeof TAIL);
  size_t length = (size_t)(end - source) - 1;
  JSValue code = JS_Eval(context, source, length, FILE_NAME, JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_COMPILE_ONLY);
  if (JS_IsException(code)) {
    refuse_syntax(script);
    return JS_UNDEFINED;
  }
  if (!is_one_function(code)) {
    refuse("bad-settings", "%s: it has a `}` without a matching `{`", AT_SCRIPT);
    return JS_UNDEFINED;
  }
  JSValue function = JS_EvalFunction(context, code);
  if (JS_IsException(function)) {
    refuse_exception(script);
    return JS_UNDEFINED;
  }
  return function;
}

bool script_call(JSValueConst function, struct text script, JSValueConst event, JSValueConst request,
                 JSValue *result, bool *no_return) {
  JSValueConst given[] = {event, request};
  *result = JS_Call(context, function, JS_UNDEFINED, 2, given);
  *no_return = has_tail(script) ? JS_IsStrictEqual(context, *result, function) : JS_IsUndefined(*result);
  if (*no_return) {
    *result = JS_UNDEFINED;
  }
  return !JS_IsException(*result) || refuse_exception(script);
}

// Whether a script has no effect. Using only the event has an effect only if the script throws or logs.
static bool has_no_effect(struct effects effects) {
  return !effects.uses_request && !effects.returns && !(effects.uses_event && effects.reports);
}

static bool refuse_assignment(void) {
  return refuse("bad-result", "the script assigns to the variable `request`, which does not change what is sent; "
                              "return the value instead");
}

static bool refuse_no_effect(struct effects effects) {
  if (effects.declares == JS_ATOM_NULL) {
    return refuse("bad-settings", "%s: it has no effect for any event; %s", AT_SCRIPT, USE);
  }
  struct text name = text_for_message(JS_AtomToString(context, effects.declares));
  return refuse("bad-settings", "%s: it has no effect for any event: it declares `%.*s`, and no function `handle`; %s",
                AT_SCRIPT, TEXT_ARGS(name), USE);
}

bool script_check_effect(JSValueConst function, struct text script, bool no_return) {
  struct effects effects;
  if (no_return) {
    effects = effects_of_script(context, function, has_tail(script), names.console);
    return has_no_effect(effects) ? refuse_no_effect(effects) : !effects.sets_request || refuse_assignment();
  }
  if (!effects_of_function(context, function, names.handle, names.console, &effects)) {
    return true;
  }
  if (!has_no_effect(effects)) {
    return !effects.sets_request || refuse_assignment();
  }
  // The script around `handle` may have an effect, and `handle` may use the script's `request`.
  effects = effects_of_script(context, function, has_tail(script), names.console);
  return effects.uses_request || effects.returns ||
         refuse("bad-settings", "%s: `handle` has no effect for any event; return what to send, or change `request`",
                AT_SCRIPT);
}

// Whether the message is about a variable of CommonJS, which bundlers use and which is not available.
static bool mentions_common_js(struct text message) {
  static const char *const MESSAGES[] = {"module is not defined", "exports is not defined", "require is not defined"};
  for (size_t index = 0; index < sizeof MESSAGES / sizeof *MESSAGES; index++) {
    if (texts_are_equal(message, (struct text){MESSAGES[index], strlen(MESSAGES[index])})) {
      return true;
    }
  }
  return false;
}

// Ends the call with the fault `out-of-fuel`. Does not return.
static void end_without_fuel(JSValueConst error, struct text script) {
  struct location location = location_of(error, script);
  char text[64] = "an unknown location";
  if (location.known) {
    snprintf(text, sizeof text, "line %ld, column %ld of the script", location.line, location.column);
  }
  budget_out_of_fuel(text, strlen(text));
}

bool refuse_exception(struct text script) {
  JSValue error = JS_GetException(context);
  if (fuel_ran_short()) {
    end_without_fuel(error, script);
  }
  if (!is_error(error)) {
    struct text what = description(error);
    return refuse("script-error", "the script threw %.*s", TEXT_ARGS(what));
  }
  struct text name = property_for_message(error, names.name);
  struct text message = property_for_message(error, names.message);
  if (mentions_common_js(message)) {
    return refuse_script(location_of(error, script), message, NO_MODULE);
  }
  return refuse_at("script-error", location_of(error, script), name, message, "");
}
