// A script that uses up its fuel is ended by the host in the middle of an instruction, and nobody knows where in the script that was.
// So QuickJS looks at what is left now and then, and throws while there is enough for that: an error knows its line.

#include "contract.h"
#include "fuel.h"
#include "inside.h"
#include "state.h"

enum {
  // Jumps and calls of a script before the first look: most scripts end before it.
  FIRST_LOOK = 8,
  MOST_BETWEEN_LOOKS = 8192,
  // What may be used between two looks before they come closer together, and what is too little for so many.
  DEAR = 400000,
  CHEAP = 100000,
  // What it takes to throw, and to say where.
  RESERVE = 1000000,
};

static uint64_t left_before;
static int until_look = FIRST_LOOK;
static bool ran_short;

// Nothing is known of what went before the first look.
static uint64_t used_since(uint64_t left) { return left_before == 0 ? 0 : left_before - left; }

// Ends the script if what is left may not do until the next look but one.
static int look(JSRuntime *runtime, void *opaque) {
  uint64_t left = budget_fuel_left();
  uint64_t used = used_since(left);
  left_before = left;
  if (used > DEAR) {
    until_look = until_look / 4 + 1;
  } else if (used < CHEAP && until_look < MOST_BETWEEN_LOOKS) {
    until_look *= 2;
  }
  inside_interrupt_after(context, until_look);
  ran_short = left < RESERVE + 2 * used;
  return ran_short;
}

void fuel_watch(JSRuntime *runtime) {
  JS_SetInterruptHandler(runtime, look, NULL);
  inside_interrupt_after(context, FIRST_LOOK);
}

bool fuel_ran_short(void) { return ran_short; }
