// The environment of scripts. The same event must give the same request on every retry, so the clock is fixed at the
// event's time, and random numbers depend on the event's id.

#include <string.h>

#include "environment.h"
#include "memory.h"
#include "state.h"
#include "text.h"

// ---- the clock

static double now_ms;

// The only function that the package's system shim (wasm-shim/shim.c) requires: microseconds since the Unix epoch, for
// `Date`.
double __rquickjs_host_now_us(void) { return now_ms * 1000; }

static JSValue performance_now(JSContext *context, JSValueConst this, int count, JSValueConst *given) {
  return JS_NewInt32(context, 0);
}

// ---- random numbers

static struct text seed;
static bool seeded;
static uint32_t a, b, c, counter;

// FNV-1a of the id's bytes, starting from `word`.
static uint32_t mixed(uint32_t word) {
  for (size_t index = 0; index < seed.length; index++) {
    word = (word ^ (uint8_t)seed.bytes[index]) * 0x01000193;
  }
  return word;
}

// sfc32.
static uint32_t next_word(void) {
  uint32_t sum = a + b + counter++;
  a = b ^ (b >> 9);
  b = c + (c << 3);
  c = ((c << 21) | (c >> 11)) + sum;
  return sum;
}

static double next_random(void) {
  if (!seeded) {
    // Seed on first use, because most scripts use no random numbers.
    seeded = true;
    a = mixed(0x811c9dc5);
    b = mixed(0x1b873593);
    c = mixed(0xcc9e2d51);
    counter = 1;
    for (int round = 0; round < 12; round++) {
      next_word();
    }
  }
  double high = next_word() >> 5;
  double low = next_word() >> 6;
  return (high * 67108864 + low) / 9007199254740992;
}

static JSValue math_random(JSContext *context, JSValueConst this, int count, JSValueConst *given) {
  return JS_NewFloat64(context, next_random());
}

// ---- the console

static struct text for_log(JSValueConst value) {
  if (JS_IsString(value)) {
    return text_for_message(value);
  }
  if (is_error(value)) {
    // In this order: getters of the script may run here, and C does not order the evaluation of arguments.
    struct text name = property_for_message(value, names.name);
    struct text message = property_for_message(value, names.message);
    return joined(name, ": ", message);
  }
  JSValue json = JS_JSONStringify(context, value, JS_UNDEFINED, JS_UNDEFINED);
  if (JS_IsException(json)) {
    JS_FreeValue(context, JS_GetException(context));
  }
  return text_for_message(JS_IsString(json) ? json : value);
}

static JSValue console_write(JSContext *context, JSValueConst this, int count, JSValueConst *given, int level) {
  char *line = NULL;
  size_t length = 0;
  for (int index = 0; index < count; index++) {
    struct text text = for_log(given[index]);
    char *longer = memory_reallocate(NULL, line, length + text.length + 1);
    if (longer == NULL) {
      return JS_ThrowOutOfMemory(context);
    }
    line = longer;
    if (index > 0) {
      line[length++] = ' ';
    }
    memcpy(line + length, text.bytes, text.length);
    length += text.length;
  }
  log_write(level, line, length);
  memory_free(NULL, line);
  return JS_UNDEFINED;
}

// ----

static JSValue function(JSCFunction *code, const char *name) { return JS_NewCFunction(context, code, name, 0); }

static JSValue console_method(const char *name, int level) {
  JSCFunctionType code = {.generic_magic = console_write};
  return JS_NewCFunction2(context, code.generic, name, 0, JS_CFUNC_generic_magic, level);
}

void environment_install(void) {
  JSValue global = JS_GetGlobalObject(context);
  JSValue math = JS_GetPropertyStr(context, global, "Math");
  JS_DefinePropertyValueStr(context, math, "random", function(math_random, "random"),
                            JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
  JSValue performance = JS_NewObject(context);
  JS_SetPropertyStr(context, performance, "now", function(performance_now, "now"));
  JS_SetPropertyStr(context, global, "performance", performance);
  JSValue console = JS_NewObject(context);
  JS_SetPropertyStr(context, console, "debug", console_method("debug", LOG_DEBUG));
  JS_SetPropertyStr(context, console, "log", console_method("log", LOG_INFO));
  JS_SetPropertyStr(context, console, "info", console_method("info", LOG_INFO));
  JS_SetPropertyStr(context, console, "warn", console_method("warn", LOG_WARN));
  JS_SetPropertyStr(context, console, "error", console_method("error", LOG_ERROR));
  JS_SetPropertyStr(context, global, "console", console);
  JS_FreeValue(context, math);
  JS_FreeValue(context, global);
}

void environment_begin(const struct event *event) {
  now_ms = (double)event->occurred_at;
  seed = event->id;
  seeded = false;
}
