// Shapes of objects made ahead.
//
// QuickJS keeps the names of an object's members in a shape, which objects share. An object that gets a member takes the shape
// with that one more if there is one; else it makes a shape, which is the dearest part of making an object. But it
// makes one for the object as it ends up: the next object with the same names finds nothing on its way there. So here an object
// is kept for each step of that way.

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
