// The state of a call, and the failure that ends it.

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"
#include "state.h"

JSContext *context;
struct names names;
JSClassID plain_class;
struct outcome outcome;

bool refuse(const char *code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  char *message = length < 0 ? NULL : memory_allocate(NULL, (size_t)length + 1);
  if (message == NULL) {
    __builtin_trap();
  }
  va_start(arguments, format);
  vsnprintf(message, (size_t)length + 1, format, arguments);
  va_end(arguments);
  outcome = (struct outcome){
      .is_failure = 1,
      .failure = {.code = {code, strlen(code)}, .message = {message, (size_t)length}},
  };
  return false;
}
