// The script: out of the settings, to a function, and called; and where in it an error came about.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuel.h"
#include "inside.h"
#include "json.h"
#include "memory.h"
#include "script.h"
#include "state.h"
#include "text.h"

// The script is the body of a function, and may also declare one named `handle`. The head is on the script's first
// line, so that lines count as the tenant's; the tail is on a line of its own, for a script that ends in a comment.
// A script that ends without having declared `handle` returns its own function, which it can hardly return itself.
static const char HEAD[] = "0,function $script(event, request) {";
static const char CALL_HANDLE[] = "\n;return typeof handle === 'function' ? handle(event, request) : $script;";
static const char TAIL[] = "\n}";

// What is said of a script that can't be read, as of other settings.
static const char AT_SCRIPT[] = "settings at `script`";

// What is said to the author of a module.
static const char NO_MODULE[] = "; a script is no module: declare `function handle(event, request)`, without `export`, "
                                "`import`, `module` and `require`";

// What a script that does nothing wants, in all likelihood.
static const char USE[] = "return what to send, change `request`, or declare `function handle(event, request)`";

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

// `hint` comes last: what to do about it, if that is known.
static bool refuse_at(const char *code, struct place place, struct text name, struct text message, const char *hint) {
  const char *colon = name.length == 0 ? "" : ": ";
  if (!place.known) {
    return refuse(code, "%.*s%s%.*s%s", SHOWN(name), colon, SHOWN(message), hint);
  }
  if (place.is_end) {
    return refuse(code, "%.*s%s%.*s at the end, line %ld%s", SHOWN(name), colon, SHOWN(message), place.line, hint);
  }
  return refuse(code, "%.*s%s%.*s at line %ld, column %ld%s", SHOWN(name), colon, SHOWN(message), place.line,
                place.column, hint);
}

// Whether the script may declare a function `handle`, and so has a tail that looks for it.
static bool has_tail(struct text script) { return memmem(script.bytes, script.length, "handle", 6) != NULL; }

static bool refuse_script(struct place place, struct text message, const char *hint) {
  return refuse_at("bad-settings", place, (struct text){AT_SCRIPT, sizeof AT_SCRIPT - 1}, message, hint);
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

// A script that can't be read as a function's body, such as a module.
static bool refuse_syntax(struct text script) {
  JSValue error = JS_GetException(context);
  struct text message = property_for_message(error, names.message);
  struct place place = place_of(error, script);
  bool is_module = memmem(message.bytes, message.length, "export", 6) != NULL ||
                   (place.known && line_begins_with(script, place.line, "import"));
  return refuse_script(place, message, is_module ? NO_MODULE : "");
}

// Whether the code is the script's function and nothing else. A script with a brace too many ends that function early, and
// the rest would run outside of it. Any instruction outside makes the code longer than it is around a script of our own.
static bool is_one_function(JSValueConst code) {
  static int expected;
  int length = inside_length_around_function(code);
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
    refuse("bad-settings", "%s: it closes a `{` that it did not open", AT_SCRIPT);
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
                 JSValue *result, bool *fell_off) {
  JSValueConst given[] = {event, request};
  *result = JS_Call(context, function, JS_UNDEFINED, 2, given);
  *fell_off = has_tail(script) ? JS_IsStrictEqual(context, *result, function) : JS_IsUndefined(*result);
  if (*fell_off) {
    *result = JS_UNDEFINED;
  }
  return !JS_IsException(*result) || refuse_exception(script);
}

// Of the event alone nothing follows but a word: an error, or a line in the log.
static bool does_nothing(struct inside inside) {
  return !inside.uses_request && !inside.returns && !(inside.uses_event && inside.speaks);
}

static bool refuse_assignment(void) {
  return refuse("bad-result", "the script gives the variable `request` another value, which changes nothing that is "
                              "sent; return that value");
}

static bool refuse_idle(struct inside script) {
  if (script.declares == JS_ATOM_NULL) {
    return refuse("bad-settings", "%s: it does nothing, whatever the event; %s", AT_SCRIPT, USE);
  }
  struct text name = text_for_message(JS_AtomToString(context, script.declares));
  return refuse("bad-settings", "%s: it does nothing, whatever the event: it declares `%.*s`, and no function named `handle`; %s",
                AT_SCRIPT, SHOWN(name), USE);
}

bool script_may_pass(JSValueConst function, struct text script, bool fell_off) {
  struct inside inside;
  if (fell_off) {
    inside = inside_script(context, function, has_tail(script), names.console);
    return does_nothing(inside) ? refuse_idle(inside) : !inside.sets_request || refuse_assignment();
  }
  if (!inside_function(context, function, names.handle, names.console, &inside)) {
    return true;
  }
  if (!does_nothing(inside)) {
    return !inside.sets_request || refuse_assignment();
  }
  // The script around it may do something, and `handle` with the request of the script.
  inside = inside_script(context, function, has_tail(script), names.console);
  return inside.uses_request || inside.returns ||
         refuse("bad-settings", "%s: `handle` does nothing, whatever the event; return what to send, or change `request`",
                AT_SCRIPT);
}

// CommonJS's variables, which bundlers write and nobody declares here.
static bool is_of_common_js(struct text message) {
  static const char *const MESSAGES[] = {"module is not defined", "exports is not defined", "require is not defined"};
  for (size_t index = 0; index < sizeof MESSAGES / sizeof *MESSAGES; index++) {
    if (texts_are_equal(message, (struct text){MESSAGES[index], strlen(MESSAGES[index])})) {
      return true;
    }
  }
  return false;
}

// Does not return: the call ends as one that ran out of fuel.
static void end_without_fuel(JSValueConst error, struct text script) {
  struct place place = place_of(error, script);
  char text[64] = "a place that is not known";
  if (place.known) {
    snprintf(text, sizeof text, "line %ld, column %ld of the script", place.line, place.column);
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
    return refuse("script-error", "the script threw %.*s", SHOWN(what));
  }
  struct text name = property_for_message(error, names.name);
  struct text message = property_for_message(error, names.message);
  if (is_of_common_js(message)) {
    return refuse_script(place_of(error, script), message, NO_MODULE);
  }
  return refuse_at("script-error", place_of(error, script), name, message, "");
}
