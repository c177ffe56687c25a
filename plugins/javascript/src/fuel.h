// Ends a script before it runs out of fuel.

#ifndef HOOKWRIGHT_FUEL_H
#define HOOKWRIGHT_FUEL_H

#include "quickjs.h"

// Installs the interrupt handler.
void fuel_watch(JSRuntime *runtime);
// Whether the last exception was thrown because fuel ran short.
bool fuel_ran_short(void);

#endif
