// What scripts find beside the language: `console`, and the clock and random numbers that follow from the event.

#ifndef HOOKWRIGHT_ENVIRONMENT_H
#define HOOKWRIGHT_ENVIRONMENT_H

#include "contract.h"

void environment_install(void);
void environment_begin(const struct event *event);

#endif
