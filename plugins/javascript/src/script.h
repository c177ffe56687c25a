// The script of the settings.

#ifndef HOOKWRIGHT_SCRIPT_H
#define HOOKWRIGHT_SCRIPT_H

#include "contract.h"
#include "quickjs.h"

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

#endif
