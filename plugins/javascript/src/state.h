// State that all parts of the guest share. It is part of the snapshot.

#ifndef HOOKWRIGHT_STATE_H
#define HOOKWRIGHT_STATE_H

#include "contract.h"
#include "quickjs.h"

// Atoms of names that every call uses.
struct names {
  JSAtom attributes, body, console, data, handle, headers, id, message, method, name, occurred_at, script, stack, then,
      to_json, type, url;
};

extern JSContext *context;
extern struct names names;
// The class of plain objects.
extern JSClassID plain_class;

// The result of the call.
extern struct outcome outcome;

// Sets the result to this failure. Returns false, so that callers can return it.
__attribute__((format(printf, 2, 3)))
bool refuse(const char *code, const char *format, ...);

#endif
