// Objects that are cheap to make.

#ifndef HOOKWRIGHT_SHAPES_H
#define HOOKWRIGHT_SHAPES_H

#include "quickjs.h"

// Makes objects with these members, in this order, cheap to make.
void shapes_keep(const JSAtom *members, size_t count);

#endif
