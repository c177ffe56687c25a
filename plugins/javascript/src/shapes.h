// Preparation of object shapes.

#ifndef HOOKWRIGHT_SHAPES_H
#define HOOKWRIGHT_SHAPES_H

#include "quickjs.h"

// Makes it cheap to create objects with these members, in this order.
void shapes_keep(const JSAtom *members, size_t count);

#endif
