// Conversions between texts of the contract and values of QuickJS.

#ifndef HOOKWRIGHT_TEXT_H
#define HOOKWRIGHT_TEXT_H

#include "contract.h"
#include "quickjs.h"

// Arguments for printf's `%.*s`.
#define TEXT_ARGS(text) (int)(text).length, (text).bytes

// Converts a value like `String(value)`. Returns false if that throws; then the exception is pending.
bool text_from(JSValueConst value, struct text *text);
// Converts a value for a message. Empty if the conversion throws.
struct text text_for_message(JSValueConst value);
// Converts the property of an object for a message.
struct text property_for_message(JSValueConst object, JSAtom name);
// Concatenates texts. Returns only `after` if there is no memory.
struct text joined(struct text before, const char *between, struct text after);
bool texts_are_equal(struct text a, struct text b);
// Describes a value in a message, by its type or an excerpt.
struct text description(JSValueConst value);
JSValue string_from(struct text text);
bool is_error(JSValueConst value);

#endif
