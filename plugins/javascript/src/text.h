// Texts of the contract and values of QuickJS.

#ifndef HOOKWRIGHT_TEXT_H
#define HOOKWRIGHT_TEXT_H

#include "contract.h"
#include "quickjs.h"

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

#endif
