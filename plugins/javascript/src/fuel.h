// Ends a script in time when its fuel runs short.

#ifndef HOOKWRIGHT_FUEL_H
#define HOOKWRIGHT_FUEL_H

#include "quickjs.h"

// Has a script interrupted in time where its fuel runs short.
void fuel_watch(JSRuntime *runtime);
// Whether that is why the exception was thrown that is pending, or was.
bool fuel_ran_short(void);

#endif
