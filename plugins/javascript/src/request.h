// The event and the request, as scripts see them and as the contract has them.

#ifndef HOOKWRIGHT_REQUEST_H
#define HOOKWRIGHT_REQUEST_H

#include "contract.h"
#include "quickjs.h"

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
