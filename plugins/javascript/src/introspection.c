// Includes QuickJS's source, to inspect data that its interface does not expose: the members of an object without
// allocating a list, and the bytecode of a function.

#include <quickjs.c>

#include "introspection.h"

bool find_unknown_member(JSContext *context, JSValueConst object, const JSAtom *known, size_t count, JSAtom *found) {
  JSShape *shape = JS_VALUE_GET_OBJ(object)->shape;
  JSShapeProperty *property = get_shape_prop(shape);
  for (int index = 0; index < shape->prop_count; index++, property++) {
    // A deleted member leaves an entry without a name.
    bool is_known = property->atom == JS_ATOM_NULL;
    for (size_t other = 0; other < count && !is_known; other++) {
      is_known = property->atom == known[other];
    }
    if (!is_known && JS_AtomGetKind(context, property->atom) == JS_ATOM_KIND_STRING) {
      *found = property->atom;
      return true;
    }
  }
  return false;
}

static int size_of(const JSFunctionBytecode *code, int at) { return short_opcode_info(code->byte_code_buf[at]).size; }

// Returns the inner function in the constant pool. NULL if the constant is not a function.
static const JSFunctionBytecode *inner_function(const JSFunctionBytecode *code, int constant) {
  JSValue value = code->cpool[constant];
  return JS_VALUE_GET_TAG(value) == JS_TAG_FUNCTION_BYTECODE ? JS_VALUE_GET_PTR(value) : NULL;
}

// Records whether an instruction reads or sets a parameter.
static void record_parameter(const uint8_t *at, struct effects *effects) {
  uint32_t parameter;
  bool sets = false;
  switch (*at) {
  case OP_get_arg0: case OP_get_arg1: case OP_get_arg2: case OP_get_arg3:
    parameter = *at - OP_get_arg0;
    break;
  case OP_put_arg0: case OP_put_arg1: case OP_put_arg2: case OP_put_arg3:
    parameter = *at - OP_put_arg0;
    sets = true;
    break;
  case OP_set_arg0: case OP_set_arg1: case OP_set_arg2: case OP_set_arg3:
    parameter = *at - OP_set_arg0;
    sets = true;
    break;
  case OP_put_arg: case OP_set_arg:
    sets = true;
    parameter = get_u16(at + 1);
    break;
  case OP_get_arg:
    parameter = get_u16(at + 1);
    break;
  case OP_make_arg_ref:
    parameter = get_u16(at + 5);
    break;
  default:
    return;
  }
  effects->uses_event |= parameter == 0;
  effects->uses_request |= parameter == 1;
  effects->sets_request |= parameter == 1 && sets;
}

// Records the effects of the instructions before `end`.
static void record_instructions(const JSFunctionBytecode *code, int end, struct effects *effects) {
  for (int at = 0; at < end; at += size_of(code, at)) {
    const uint8_t *instruction = code->byte_code_buf + at;
    switch (*instruction) {
    case OP_return: case OP_return_async: case OP_tail_call: case OP_tail_call_method:
      effects->returns = true;
      break;
    case OP_special_object:
      if (instruction[1] > OP_SPECIAL_OBJECT_MAPPED_ARGUMENTS) {
        break;
      }
      [[fallthrough]];
    case OP_rest: case OP_eval: case OP_apply_eval: case OP_with_get_var: case OP_with_put_var: case OP_with_get_ref:
      // Indirect access to parameters.
      effects->uses_event = effects->uses_request = true;
      break;
    default:
      record_parameter(instruction, effects);
    }
  }
}

// Whether the function, or one in it, throws or writes to the log.
static bool reports(const JSFunctionBytecode *code, JSAtom console) {
  for (int at = 0; at < code->byte_code_len; at += size_of(code, at)) {
    const uint8_t *instruction = code->byte_code_buf + at;
    if (*instruction == OP_throw ||
        ((*instruction == OP_get_var || *instruction == OP_get_var_undef) && get_u32(instruction + 1) == console)) {
      return true;
    }
  }
  for (int index = 0; index < code->closure_var_count; index++) {
    if (code->closure_var[index].var_name == console) {
      return true;
    }
  }
  for (int index = 0; index < code->cpool_count; index++) {
    const JSFunctionBytecode *inner = inner_function(code, index);
    if (inner != NULL && reports(inner, console)) {
      return true;
    }
  }
  return false;
}

// Returns the end of the script's own instructions. The tail of `script_compile` begins with the last `typeof …
// 'function'`.
static int end_of_script(const JSFunctionBytecode *code) {
  int end = code->byte_code_len;
  for (int at = 0; at < code->byte_code_len; at += size_of(code, at)) {
    if (code->byte_code_buf[at] == OP_typeof_is_function) {
      end = at;
    }
  }
  return end;
}

// Returns the name that an anonymous function gets by assignment: the instruction after the one that creates it.
static JSAtom assigned_name(const JSFunctionBytecode *code, int constant) {
  for (int at = 0; at < code->byte_code_len; at += size_of(code, at)) {
    const uint8_t *instruction = code->byte_code_buf + at;
    bool creates = (*instruction == OP_fclosure8 && instruction[1] == constant) ||
                 (*instruction == OP_fclosure && get_u32(instruction + 1) == (uint32_t)constant);
    int next = at + size_of(code, at);
    if (creates && next < code->byte_code_len && code->byte_code_buf[next] == OP_set_name) {
      return get_u32(code->byte_code_buf + next + 1);
    }
  }
  return JS_ATOM_NULL;
}

// Returns JS_ATOM_NULL if the function has no name.
static JSAtom name_of(const JSFunctionBytecode *code, int constant) {
  JSAtom name = inner_function(code, constant)->func_name;
  return name == JS_ATOM_NULL || name == JS_ATOM_empty_string ? assigned_name(code, constant) : name;
}

static JSAtom first_name(const JSFunctionBytecode *code) {
  JSAtom name = JS_ATOM_NULL;
  for (int index = 0; index < code->cpool_count && name == JS_ATOM_NULL; index++) {
    name = inner_function(code, index) == NULL ? JS_ATOM_NULL : name_of(code, index);
  }
  return name;
}

// Records the parameters that inner functions capture.
static void record_captured(const JSFunctionBytecode *code, struct effects *effects) {
  for (int index = 0; index < code->cpool_count; index++) {
    const JSFunctionBytecode *inner = inner_function(code, index);
    for (int other = 0; inner != NULL && other < inner->closure_var_count; other++) {
      const JSClosureVar *variable = &inner->closure_var[other];
      if (variable->closure_type == JS_CLOSURE_ARG) {
        effects->uses_event |= variable->var_idx == 0;
        effects->uses_request |= variable->var_idx == 1;
      }
    }
  }
}

static struct effects analyze(const JSFunctionBytecode *code, int end, JSAtom console) {
  struct effects effects = {.declares = JS_ATOM_NULL};
  record_instructions(code, end, &effects);
  record_captured(code, &effects);
  if (!effects.uses_request && !effects.returns) {
    effects.reports = reports(code, console);
    effects.declares = first_name(code);
  }
  // Default values of parameters are assignments too.
  effects.sets_request &= code->has_simple_parameter_list;
  return effects;
}

int code_length_around_function(JSValueConst code) {
  const JSFunctionBytecode *around = JS_VALUE_GET_PTR(code);
  bool is_alone = around->cpool_count == 1 && inner_function(around, 0) != NULL;
  return is_alone ? around->byte_code_len : 0;
}

struct effects effects_of_script(JSContext *context, JSValueConst function, bool has_tail, JSAtom console) {
  const JSFunctionBytecode *code = JS_GetFunctionBytecode(function);
  return analyze(code, has_tail ? end_of_script(code) : code->byte_code_len, console);
}

bool effects_of_function(JSContext *context, JSValueConst function, JSAtom name, JSAtom console, struct effects *effects) {
  const JSFunctionBytecode *code = JS_GetFunctionBytecode(function);
  for (int index = 0; index < code->cpool_count; index++) {
    const JSFunctionBytecode *inner = inner_function(code, index);
    if (inner != NULL && name_of(code, index) == name) {
      *effects = analyze(inner, inner->byte_code_len, console);
      return true;
    }
  }
  return false;
}

void set_interrupt_countdown(JSContext *context, int count) { context->interrupt_counter = count; }
