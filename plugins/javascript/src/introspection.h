// Properties of objects and functions that QuickJS's interface does not expose.

#ifndef HOOKWRIGHT_INTROSPECTION_H
#define HOOKWRIGHT_INTROSPECTION_H

#include <stdbool.h>

#include "quickjs.h"

// Possible effects of the code of a function with the parameters (event, request).
struct effects {
  bool uses_event, uses_request;
  // It assigns to the parameter `request`.
  bool sets_request;
  // It returns a value.
  bool returns;
  // Set only if the function neither uses the request nor returns a value: whether it, or a function in it, throws or
  // uses `console`, and the name of the first named function in it, or JS_ATOM_NULL.
  bool reports;
  JSAtom declares;
};

// Finds the first member of a plain object whose name is not in `known`. Returns false if there is none.
bool find_unknown_member(JSContext *context, JSValueConst object, const JSAtom *known, size_t count, JSAtom *found);

// Returns the length of the code around the only function in it. 0 if the code does not contain exactly one function.
int code_length_around_function(JSValueConst code);

// Analyzes the script's code without the tail that calls `handle`.
struct effects effects_of_script(JSContext *context, JSValueConst function, bool has_tail, JSAtom console);

// Analyzes the function with this name that the script declares. Returns false if there is none.
bool effects_of_function(JSContext *context, JSValueConst function, JSAtom name, JSAtom console, struct effects *effects);

// Sets the number of jumps and calls until the interrupt handler is called.
void set_interrupt_countdown(JSContext *context, int count);

#endif
