// What all parts of the guest share. The snapshot holds it.

#ifndef HOOKWRIGHT_STATE_H
#define HOOKWRIGHT_STATE_H

#include "contract.h"
#include "quickjs.h"

// Names that are looked up in each call, made once.
struct names {
  JSAtom attributes, body, console, data, handle, headers, id, message, method, name, occurred_at, script, stack, then,
      to_json, type, url;
};

extern JSContext *context;
extern struct names names;
// The class of the objects that literals make.
extern JSClassID plain_class;

// What the call answers.
extern struct answer answer;

// Makes the call's answer this failure. Returns false, so that callers can return it.
__attribute__((format(printf, 2, 3)))
bool refuse(const char *code, const char *format, ...);

#endif
