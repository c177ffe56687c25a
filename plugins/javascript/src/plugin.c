// The standard plugin `javascript`: runs the script in its settings with QuickJS. README.md is the reference for
// authors of scripts.
//
// `initialise` runs when the component is built. The component contains a snapshot of the memory after it: a runtime
// and a context with the environment of scripts. Every call starts with this memory, in its own instance.

#include <string.h>

#include "environment.h"
#include "fuel.h"
#include "memory.h"
#include "request.h"
#include "script.h"
#include "state.h"
#include "text.h"

enum {
  // Stack limit of QuickJS. The rest of the stack is for the code between two checks of the limit.
  STACK = STACK_BYTES - 16 * 1024,
  // Free memory at the start of a call: enough for events of some kilobytes. More would make calls slower, because all
  // memory is restored after each call.
  FREE = 64 * 1024,
  // Threshold of the cycle collector, for scripts that create much garbage.
  COLLECT_FROM = 8 << 20,
};

static JSRuntime *runtime;

// The reason of the first unhandled rejection.
static JSValue rejection = JS_UNINITIALIZED;
static int rejections;

static void record_rejection(JSContext *context, JSValueConst promise, JSValueConst reason, bool is_handled, void *opaque) {
  if (is_handled) {
    rejections--;
  } else if (rejections++ == 0) {
    rejection = JS_DupValue(context, reason);
  }
}

// Refuses a script with an unhandled rejection or with pending jobs, which never run.
static bool refuse_unfinished(struct text script) {
  if (rejections > 0) {
    JS_Throw(context, rejection);
    return refuse_exception(script);
  }
  return !JS_IsJobPending(runtime) ||
         refuse("bad-result", "a promise of the script is still pending when the script ends; scripts run synchronously, "
                              "without async or await");
}

static bool is_promise(JSValueConst result, struct text script, bool *is) {
  JSValue then = JS_GetProperty(context, result, names.then);
  *is = JS_IsFunction(context, then);
  return !JS_IsException(then) || refuse_exception(script);
}

// Checks that an object that the script returned is a request. Returns false if it was refused.
static bool is_request(JSValueConst result, struct text script) {
  bool promise = false;
  if (JS_IsObject(result) && !is_promise(result, script, &promise)) {
    return false;
  }
  if (promise) {
    return refuse("bad-result", "the script returned a promise; scripts run synchronously, without async or await");
  }
  if (!JS_IsObject(result) || JS_GetClassID(result) != plain_class) {
    struct text what = description(result);
    return refuse("bad-result", "the script returned %.*s; return an object with `body`, a string, null to drop, or nothing",
                  TEXT_ARGS(what));
  }
  return request_has_known_members(result, "the returned object", script);
}

static bool set_request(JSValueConst result, JSValueConst shown, const struct request *draft, struct text script) {
  if (JS_IsString(result)) {
    JS_SetProperty(context, shown, names.body, JS_DupValue(context, result));
  }
  bool is_own = !JS_IsUndefined(result) && !JS_IsString(result) && !JS_IsStrictEqual(context, result, shown);
  if ((is_own && !is_request(result, script)) || !request_has_known_members(shown, "`request`", script)) {
    return false;
  }
  outcome.sent.is_some = 1;
  return request_from_script(is_own ? result : shown, is_own, draft, script, &outcome.sent.request);
}

static bool run(struct text script, const struct parameters *given) {
  JSValue function = script_compile(script);
  if (JS_IsUndefined(function)) {
    return false;
  }
  JSValue shown = request_for_script(&given->draft);
  JSValue event, result;
  bool no_return;
  if (!event_for_script(&given->event, &event) ||
      !script_call(function, script, event, shown, &result, &no_return)) {
    return false;
  }
  if (JS_IsNull(result) || (JS_IsBool(result) && !JS_VALUE_GET_BOOL(result))) {
    return true;
  }
  if (!set_request(result, shown, &given->draft, script) || !refuse_unfinished(script)) {
    return false;
  }
  return !JS_IsUndefined(result) || !request_equals_draft(&outcome.sent.request, &given->draft) ||
         script_check_effect(function, script, no_return);
}

__attribute__((export_name("hookwright:plugin/transformer@1.0.0#transform")))
struct outcome *transform(const struct parameters *given) {
  JS_UpdateStackTop(runtime);
  environment_begin(&given->event);
  struct text script;
  if (script_read(&script)) {
    run(script, given);
  }
  return &outcome;
}

// Runs a script once, so that the snapshot contains the names, shapes and functions that most scripts need.
static void warm_up(void) {
  static struct header header = {{"content-type", 12}, {"application/json", 16}};
  static const char SCRIPT[] = "return { ...request, body: { type: event.type, data: JSON.parse(JSON.stringify(event.data)) } };";
  struct parameters given = {
      .event = {.id = {"id", 2}, .type = {"type", 4}, .attributes = {&header, 1}, .data = {"{}", 2}},
      .draft = {.method = {"POST", 4}, .url = {"url", 3}, .headers = {&header, 1}, .body = {BODY_TEXT, {"{}", 2}}},
  };
  struct text script = {SCRIPT, sizeof SCRIPT - 1};
  if (!run(script, &given)) {
    __builtin_trap();
  }
  outcome = (struct outcome){.is_failure = 0};
}

// libc's constructors. Calling them here prevents the linker from calling them in every export.
void __wasm_call_ctors(void);

__attribute__((export_name("initialise")))
void initialise(void) {
  __wasm_call_ctors();
  static const JSMallocFunctions MEMORY = {
      memory_calloc, memory_allocate, memory_free, memory_reallocate, memory_usable_size,
  };
  runtime = JS_NewRuntime2(&MEMORY, NULL);
  JS_SetMaxStackSize(runtime, STACK);
  JS_SetGCThreshold(runtime, COLLECT_FROM);
  JS_SetHostPromiseRejectionTracker(runtime, record_rejection, NULL);
  context = JS_NewContext(runtime);
  names = (struct names){
      .attributes = JS_NewAtom(context, "attributes"),
      .body = JS_NewAtom(context, "body"),
      .console = JS_NewAtom(context, "console"),
      .data = JS_NewAtom(context, "data"),
      .handle = JS_NewAtom(context, "handle"),
      .headers = JS_NewAtom(context, "headers"),
      .id = JS_NewAtom(context, "id"),
      .message = JS_NewAtom(context, "message"),
      .method = JS_NewAtom(context, "method"),
      .name = JS_NewAtom(context, "name"),
      .occurred_at = JS_NewAtom(context, "occurredAt"),
      .script = JS_NewAtom(context, "script"),
      .stack = JS_NewAtom(context, "stack"),
      .then = JS_NewAtom(context, "then"),
      .to_json = JS_NewAtom(context, "toJSON"),
      .type = JS_NewAtom(context, "type"),
      .url = JS_NewAtom(context, "url"),
  };
  JSValue plain = JS_NewObject(context);
  plain_class = JS_GetClassID(plain);
  JS_FreeValue(context, plain);
  environment_install();
  request_prepare();
  warm_up();
  JS_RunGC(runtime);
  fuel_watch(runtime);
  memory_reserve(FREE);
}
