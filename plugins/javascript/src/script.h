// The script of the settings.

#ifndef HOOKWRIGHT_SCRIPT_H
#define HOOKWRIGHT_SCRIPT_H

#include "contract.h"
#include "quickjs.h"

// Reads the script from the settings. Returns false if it was refused.
bool script_read(struct text *script);
// Compiles the script to a function. Returns undefined if it was refused.
JSValue script_compile(struct text script);
// Calls the script. `no_return` tells whether it ended without `return`; then the result is undefined. Returns false
// if it threw, after refusing the call.
bool script_call(JSValueConst function, struct text script, JSValueConst event, JSValueConst request,
                 JSValue *result, bool *no_return);
// Checks a script that did not change the request: whether it could have an effect for another event. Returns false
// if it was refused because it cannot.
bool script_check_effect(JSValueConst function, struct text script, bool no_return);
// Refuses the call with the pending exception.
bool refuse_exception(struct text script);

#endif
