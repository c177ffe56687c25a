// If a script runs out of fuel, the host stops the guest at any instruction, and the location in the script is lost.
// So the interrupt handler checks the remaining fuel and ends the script while there is enough fuel to report the
// location.

#include "contract.h"
#include "fuel.h"
#include "introspection.h"
#include "state.h"

enum {
  // Number of jumps and calls before the first check. Most scripts end before it.
  FIRST_INTERVAL = 8,
  MAX_INTERVAL = 8192,
  // Fuel between two checks above which the interval shrinks, and below which it grows.
  MAX_FUEL_PER_INTERVAL = 400000,
  MIN_FUEL_PER_INTERVAL = 100000,
  // Fuel for throwing and reporting the location.
  RESERVE = 1000000,
};

static uint64_t left_before;
static int interval = FIRST_INTERVAL;
static bool ran_short;

// Returns 0 for the first check, which has no previous value.
static uint64_t used_since(uint64_t left) { return left_before == 0 ? 0 : left_before - left; }

// Ends the script if the remaining fuel may not last for two more intervals.
static int check_fuel(JSRuntime *runtime, void *opaque) {
  uint64_t left = budget_fuel_left();
  uint64_t used = used_since(left);
  left_before = left;
  if (used > MAX_FUEL_PER_INTERVAL) {
    interval = interval / 4 + 1;
  } else if (used < MIN_FUEL_PER_INTERVAL && interval < MAX_INTERVAL) {
    interval *= 2;
  }
  set_interrupt_countdown(context, interval);
  ran_short = left < RESERVE + 2 * used;
  return ran_short;
}

void fuel_watch(JSRuntime *runtime) {
  JS_SetInterruptHandler(runtime, check_fuel, NULL);
  set_interrupt_countdown(context, FIRST_INTERVAL);
}

bool fuel_ran_short(void) { return ran_short; }
