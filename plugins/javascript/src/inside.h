// What QuickJS's interface does not tell of objects and functions.

#ifndef HOOKWRIGHT_INSIDE_H
#define HOOKWRIGHT_INSIDE_H

#include <stdbool.h>

#include "quickjs.h"

// What the code of a function with the parameters (event, request) does, in whatever way it is run.
struct inside {
  bool uses_event, uses_request;
  // It gives the parameter `request` another value.
  bool sets_request;
  // It returns a value.
  bool returns;
  // Of a function that neither uses the request nor returns a value: whether it, or a function in it, throws or uses `console`;
  // and the name of the first function in it that has one, or JS_ATOM_NULL.
  bool speaks;
  JSAtom declares;
};

// The first member of a plain object that has none of these names. False if there is none.
bool inside_other_member(JSContext *context, JSValueConst object, const JSAtom *known, size_t count, JSAtom *found);

// The length of compiled code around the one function in it, without that function. 0 if the code contains anything else
// than instructions and one function.
int inside_length_around_function(JSValueConst code);

// What a script's own code does, without the tail that looks for `handle`.
struct inside inside_script(JSContext *context, JSValueConst function, bool has_tail, JSAtom console);

// What a function of this name does that is declared in the script. False if there is none.
bool inside_function(JSContext *context, JSValueConst function, JSAtom name, JSAtom console, struct inside *inside);

// Has the handler of interruptions called after so many jumps and calls.
void inside_interrupt_after(JSContext *context, int count);

#endif
