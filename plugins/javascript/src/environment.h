// The environment of scripts: `console`, the clock and random numbers, which depend on the event.

#ifndef HOOKWRIGHT_ENVIRONMENT_H
#define HOOKWRIGHT_ENVIRONMENT_H

#include "contract.h"

void environment_install(void);
void environment_begin(const struct event *event);

#endif
