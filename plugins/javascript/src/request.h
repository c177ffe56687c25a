// Conversions of the event and the request between scripts and the contract.

#ifndef HOOKWRIGHT_REQUEST_H
#define HOOKWRIGHT_REQUEST_H

#include "contract.h"
#include "quickjs.h"

// Prepares the creation of the objects for scripts.
void request_prepare(void);

bool event_for_script(const struct event *event, JSValue *object);
JSValue request_for_script(const struct request *draft);
// Checks that an object has members of a request and no others. `what` names it in messages. Returns false if it was
// refused.
bool request_has_known_members(JSValueConst object, const char *what, struct text script);
// Converts an object to a request. Members that the script's own object omits are taken from the draft; members
// missing in `request` were deleted by the script. Returns false if it was refused.
bool request_from_script(JSValueConst object, bool is_own, const struct request *draft, struct text script,
                         struct request *request);
bool request_equals_draft(const struct request *request, const struct request *draft);

#endif
