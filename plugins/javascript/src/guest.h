// What the parts of the guest share: the contract's types as the component model lays them out, the state that the
// snapshot holds, and the functions of each part.
//
// The guest is one call long: it frees only what is easily freed, and what else QuickJS gives it stays until the instance goes.

#ifndef HOOKWRIGHT_GUEST_H
#define HOOKWRIGHT_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inside.h"
#include "quickjs.h"

// ---- wit/v1/plugin.wit, in the layout of the canonical ABI

// UTF-8. What the host writes is followed by a zero byte, as the parsers of QuickJS want it (memory.c).
struct text {
  const char *bytes;
  size_t length;
};

struct header {
  struct text name;
  struct text value;
};

struct headers {
  struct header *items;
  size_t length;
};

enum { BODY_NONE, BODY_TEXT, BODY_BINARY };

struct body {
  uint8_t kind;
  struct text content;
};

struct event {
  struct text id;
  struct text type;
  uint64_t occurred_at;
  struct headers attributes;
  struct text data;
};

struct request {
  struct text method;
  struct text url;
  struct headers headers;
  struct body body;
};

struct failure {
  struct text code;
  struct text message;
  uint8_t retryable;
};

// result<option<request>, failure>
struct answer {
  uint8_t is_failure;
  union {
    struct {
      uint8_t is_some;
      struct request request;
    } sent;
    struct failure failure;
  };
};

// The parameters of `transform` are too many to be passed one by one, and lie behind each other.
struct parameters {
  struct event event;
  struct request draft;
};

enum { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

__attribute__((import_module("hookwright:plugin/budget@1.0.0"), import_name("fuel-left")))
uint64_t budget_fuel_left(void);

__attribute__((import_module("hookwright:plugin/budget@1.0.0"), import_name("out-of-fuel"), noreturn))
void budget_out_of_fuel(const char *place, size_t length);

__attribute__((import_module("hookwright:plugin/config@1.0.0"), import_name("get")))
void config_get(struct text *settings);

__attribute__((import_module("hookwright:plugin/log@1.0.0"), import_name("write")))
void log_write(int32_t level, const char *message, size_t length);

// ---- plugin.c: the state

// Names that are looked up in each call, made once.
struct names {
  JSAtom attributes, body, console, data, handle, headers, id, message, method, name, occurred_at, script, stack, then,
      to_json, type, url;
};

extern JSContext *context;
extern struct names names;
// The class of the objects that literals make.
extern JSClassID plain_class;

// The failure that the call ends with. Answers false, so that it can be returned.
__attribute__((format(printf, 2, 3)))
bool refuse(const char *code, const char *format, ...);

// ---- memory.c

// Grows the memory until this much of it is free.
void memory_reserve(size_t size);
void *memory_calloc(void *opaque, size_t count, size_t size);
void *memory_allocate(void *opaque, size_t size);
void memory_free(void *opaque, void *block);
void *memory_reallocate(void *opaque, void *block, size_t size);
size_t memory_usable_size(const void *block);

// ---- text.c

// For printf's `%.*s`.
#define SHOWN(text) (int)(text).length, (text).bytes

// The value as `String(value)` has it. False if that throws; the exception is then pending.
bool text_from(JSValueConst value, struct text *text);
// The same for messages: what can't be written is left empty.
struct text text_for_message(JSValueConst value);
// The property of an object, for messages.
struct text property_for_message(JSValueConst object, JSAtom name);
// Both in one, with `between` between them; only `after` where there is no memory for that.
struct text joined(struct text before, const char *between, struct text after);
bool texts_are_equal(struct text a, struct text b);
// A value named in a message: what it is, rather than all of it.
struct text description(JSValueConst value);
JSValue string_from(struct text text);
bool is_error(JSValueConst value);

// ---- environment.c

// What scripts find beside the language: console, and the clock and random numbers that follow from the event.
void environment_install(void);
void environment_begin(const struct event *event);

// ---- fuel.c

// Has a script interrupted in time where its fuel runs short.
void fuel_watch(JSRuntime *runtime);
// Whether that is why the exception was thrown that is pending, or was.
bool fuel_ran_short(void);

// ---- script.c

// The script in the settings. False if it was refused.
bool script_read(struct text *script);
// The script as a function, undefined if it was refused.
JSValue script_compile(struct text script);
// What the script returns, and whether it did so at its own end: the result is undefined then. False if it threw, which was refused.
bool script_call(JSValueConst function, struct text script, JSValueConst event, JSValueConst request,
                 JSValue *result, bool *fell_off);
// Whether a script that left the request as it was may do so: another event would see it change the request or cancel the
// delivery. False if that can't be, which was refused.
bool script_may_pass(JSValueConst function, struct text script, bool fell_off);
// The failure of an exception that is pending.
bool refuse_exception(struct text script);

// ---- shapes.c

// Makes objects with these members, in this order, cheap to make.
void shapes_keep(const JSAtom *members, size_t count);

// ---- request.c

// What a call does to make the objects of scripts, as far as it can be done before.
void request_prepare(void);

bool event_for_script(const struct event *event, JSValue *object);
JSValue request_for_script(const struct request *draft);
// Whether an object of the script, named so in messages, has the members of a request and no others. False if it was refused.
bool request_has_known_members(JSValueConst object, const char *what, struct text script);
// The request that an object stands for. What an object of the script's own leaves out is as in the draft; what is missing
// in `request`, which had it, was taken away. False if it was refused.
bool request_from_script(JSValueConst object, bool is_own, const struct request *draft, struct text script,
                         struct request *request);
bool request_is_as_drafted(const struct request *request, const struct request *draft);

#endif
