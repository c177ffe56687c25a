// Preparation of object shapes.
//
// QuickJS stores the names of an object's members in a shape, which objects share. When an object gets a member, it
// takes an existing shape with this additional member, or creates one, which is the most expensive part of creating
// an object. But QuickJS keeps only the final shape of an object, so the next object with the same names finds no
// intermediate shapes. This module keeps an object for each intermediate shape.

#include "shapes.h"
#include "state.h"

void shapes_keep(const JSAtom *members, size_t count) {
  for (size_t length = 1; length <= count; length++) {
    // Never freed.
    JSValue object = JS_NewObject(context);
    for (size_t index = 0; index < length; index++) {
      JS_DefinePropertyValue(context, object, members[index], JS_NULL, JS_PROP_C_W_E);
    }
  }
}
