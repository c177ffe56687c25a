// Converts the event and the draft to objects, and the result of the script to a request.

#include <strings.h>

#include "fuel.h"
#include "introspection.h"
#include "json.h"
#include "memory.h"
#include "request.h"
#include "script.h"
#include "shapes.h"
#include "state.h"
#include "text.h"

// The draft's body that the script received. If the script returns it unchanged, it need not be written again.
static JSValue body_shown;

static JSValue attributes_object(const struct headers *attributes) {
  JSValue object = JS_NewObject(context);
  for (size_t index = 0; index < attributes->length; index++) {
    const struct header *attribute = &attributes->items[index];
    JSAtom name = JS_NewAtomLen(context, attribute->name.bytes, attribute->name.length);
    JS_DefinePropertyValue(context, object, name, string_from(attribute->value), JS_PROP_C_W_E);
    JS_FreeAtom(context, name);
  }
  return object;
}

bool event_for_script(const struct event *event, JSValue *object) {
  JSValue data = json_read(event->data, "data");
  if (JS_IsException(data)) {
    struct text message = property_for_message(JS_GetException(context), names.message);
    return refuse("bad-data", "data is not JSON: %.*s", TEXT_ARGS(message));
  }
  JSAtom properties[] = {names.id, names.type, names.occurred_at, names.attributes, names.data};
  JSValue values[] = {
      string_from(event->id),
      string_from(event->type),
      JS_NewNumber(context, (double)event->occurred_at),
      attributes_object(&event->attributes),
      data,
  };
  *object = JS_NewObjectFrom(context, 5, properties, values);
  return true;
}

// Returns the atom of a header's name in lower case.
static JSAtom lower_case_atom(struct text name) {
  char *lower = memory_allocate(NULL, name.length);
  if (lower == NULL) {
    return JS_NewAtomLen(context, name.bytes, name.length);
  }
  for (size_t index = 0; index < name.length; index++) {
    char byte = name.bytes[index];
    lower[index] = byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte;
  }
  JSAtom atom = JS_NewAtomLen(context, lower, name.length);
  memory_free(NULL, lower);
  return atom;
}

// Joins the values of headers with the same name.
static JSValue headers_object(const struct headers *headers) {
  JSValue object = JS_NewObject(context);
  for (size_t index = 0; index < headers->length; index++) {
    const struct header *header = &headers->items[index];
    JSAtom name = lower_case_atom(header->name);
    struct text value = header->value;
    if (index > 0 && JS_GetOwnProperty(context, NULL, object, name) > 0) {
      value = joined(property_for_message(object, name), ", ", value);
    }
    JS_DefinePropertyValue(context, object, name, string_from(value), JS_PROP_C_W_E);
    JS_FreeAtom(context, name);
  }
  return object;
}

static JSValue body_value(const struct body *body) {
  switch (body->kind) {
  case BODY_TEXT:
    return string_from(body->content);
  case BODY_BINARY:
    return JS_NewUint8ArrayCopy(context, (const uint8_t *)body->content.bytes, body->content.length);
  default:
    return JS_NULL;
  }
}

void request_prepare(void) {
  JSAtom event[] = {names.id, names.type, names.occurred_at, names.attributes, names.data};
  JSAtom request[] = {names.method, names.url, names.headers, names.body};
  JSAtom header[] = {JS_NewAtom(context, "content-type")};
  JSAtom attribute[] = {JS_NewAtom(context, "trigger")};
  shapes_keep(event, 5);
  shapes_keep(request, 4);
  shapes_keep(header, 1);
  shapes_keep(attribute, 1);
}

JSValue request_for_script(const struct request *draft) {
  body_shown = body_value(&draft->body);
  JSAtom properties[] = {names.method, names.url, names.headers, names.body};
  JSValue values[] = {
      string_from(draft->method),
      string_from(draft->url),
      headers_object(&draft->headers),
      JS_DupValue(context, body_shown),
  };
  return JS_NewObjectFrom(context, 4, properties, values);
}

// ---- from the script

bool request_has_known_members(JSValueConst object, const char *what, struct text script) {
  const JSAtom known[] = {names.method, names.url, names.headers, names.body};
  JSAtom other;
  if (find_unknown_member(context, object, known, 4, &other)) {
    struct text name = text_for_message(JS_AtomToString(context, other));
    return refuse("bad-result", "%s has an unknown member `%.*s`; expected `method`, `url`, `headers` and `body`", what,
                  TEXT_ARGS(name));
  }
  for (size_t index = 0; index < 4; index++) {
    int has = JS_HasProperty(context, object, known[3 - index]);
    if (has != 0) {
      return has > 0 || refuse_exception(script);
    }
  }
  return refuse("bad-result", "%s has no member of a request; expected `method`, `url`, `headers` and `body`", what);
}

// Reads `method` or `url`.
static bool read_text(JSValueConst object, JSAtom name, const struct text *in_draft, struct text script,
                      struct text *text) {
  JSValue value = JS_GetProperty(context, object, name);
  if (JS_IsException(value)) {
    return refuse_exception(script);
  }
  if (JS_IsUndefined(value) && in_draft != NULL) {
    *text = *in_draft;
    return true;
  }
  if (!JS_IsString(value)) {
    return refuse("bad-result", "`method` and `url` of a request must be strings");
  }
  return text_from(value, text) || refuse_exception(script);
}

// A growing list of headers.
struct list {
  struct headers headers;
  size_t room;
};

static bool push(struct list *list, struct header header) {
  if (list->headers.length == list->room) {
    list->room = list->room * 2 + 8;
    struct header *longer = memory_reallocate(NULL, list->headers.items, list->room * sizeof header);
    if (longer == NULL) {
      return refuse("bad-result", "out of memory for the headers of the request");
    }
    list->headers.items = longer;
  }
  list->headers.items[list->headers.length++] = header;
  return true;
}

// Null and undefined add no header.
static bool push_value(struct list *list, struct text name, JSValueConst value, struct text script) {
  if (JS_IsNull(value) || JS_IsUndefined(value)) {
    return true;
  }
  struct header header = {.name = name};
  if (!text_from(value, &header.value)) {
    return refuse_exception(script);
  }
  return push(list, header);
}

// An array adds several headers with the same name.
static bool push_values(struct list *list, struct text name, JSValueConst array, struct text script) {
  int64_t length;
  if (JS_GetLength(context, array, &length) < 0) {
    return refuse_exception(script);
  }
  for (int64_t index = 0; index < length; index++) {
    JSValue value = JS_GetPropertyInt64(context, array, index);
    if (JS_IsException(value)) {
      return refuse_exception(script);
    }
    if (!push_value(list, name, value, script)) {
      return false;
    }
  }
  return true;
}

static bool read_headers(JSValueConst given, struct text script, struct list *list) {
  // Only plain objects have their entries as properties, unlike a `Map`.
  if (!JS_IsObject(given) || JS_GetClassID(given) != plain_class) {
    return refuse("bad-result", "`headers` of a request must be a plain object of names and values");
  }
  JSPropertyEnum *properties;
  uint32_t count;
  if (JS_GetOwnPropertyNames(context, &properties, &count, given, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY) < 0) {
    return refuse_exception(script);
  }
  for (uint32_t index = 0; index < count; index++) {
    struct text name = text_for_message(JS_AtomToString(context, properties[index].atom));
    JSValue value = JS_GetProperty(context, given, properties[index].atom);
    if (JS_IsException(value)) {
      return refuse_exception(script);
    }
    bool taken = JS_IsArray(value) ? push_values(list, name, value, script) : push_value(list, name, value, script);
    if (!taken) {
      return false;
    }
  }
  return true;
}

static bool is_bytes(JSValueConst value) {
  return JS_GetTypedArrayType(value) == JS_TYPED_ARRAY_UINT8 || JS_IsArrayBuffer(value);
}

static bool read_bytes(JSValueConst value, struct text script, struct body *body) {
  size_t length = 0;
  uint8_t *bytes = JS_IsArrayBuffer(value) ? JS_GetArrayBuffer(context, &length, value)
                                           : JS_GetUint8Array(context, &length, value);
  if (bytes == NULL && JS_HasException(context)) {
    return refuse_exception(script);
  }
  *body = (struct body){BODY_BINARY, {(const char *)bytes, bytes == NULL ? 0 : length}};
  return true;
}

static bool has_content_type(const struct headers *headers) {
  static const char NAME[] = "content-type";
  for (size_t index = 0; index < headers->length; index++) {
    struct text name = headers->items[index].name;
    if (name.length == sizeof NAME - 1 && strncasecmp(name.bytes, NAME, name.length) == 0) {
      return true;
    }
  }
  return false;
}

static bool read_json(JSValueConst value, struct text script, struct list *headers, struct body *body) {
  JSValue other = JS_UNDEFINED;
  body->kind = BODY_TEXT;
  if (json_write(value, &body->content, &other)) {
    static const struct header IS_JSON = {{"content-type", 12}, {"application/json", 16}};
    return has_content_type(&headers->headers) || push(headers, IS_JSON);
  }
  if (fuel_ran_short()) {
    return refuse_exception(script);
  }
  if (JS_IsUndefined(other)) {
    struct text what = description(value);
    return refuse("bad-result", "the body cannot be written as JSON: it is %.*s", TEXT_ARGS(what));
  }
  struct text message = property_for_message(JS_GetException(context), names.message);
  return refuse("bad-result", "the body cannot be written as JSON: %.*s", TEXT_ARGS(message));
}

static bool read_body(JSValueConst object, bool is_own, const struct request *draft, struct text script,
                      struct list *headers, struct body *body) {
  int is_given = JS_HasProperty(context, object, names.body);
  JSValue value = is_given > 0 ? JS_GetProperty(context, object, names.body) : JS_UNDEFINED;
  if (is_given < 0 || JS_IsException(value)) {
    return refuse_exception(script);
  }
  if ((is_given == 0 && is_own) || (JS_IsString(value) && JS_IsStrictEqual(context, value, body_shown))) {
    *body = draft->body;
    return true;
  }
  if (JS_IsNull(value) || JS_IsUndefined(value)) {
    *body = (struct body){.kind = BODY_NONE};
    return true;
  }
  if (JS_IsString(value)) {
    body->kind = BODY_TEXT;
    return text_from(value, &body->content) || refuse_exception(script);
  }
  return is_bytes(value) ? read_bytes(value, script, body) : read_json(value, script, headers, body);
}

bool request_from_script(JSValueConst object, bool is_own, const struct request *draft, struct text script,
                         struct request *request) {
  if (!read_text(object, names.method, is_own ? &draft->method : NULL, script, &request->method) ||
      !read_text(object, names.url, is_own ? &draft->url : NULL, script, &request->url)) {
    return false;
  }
  JSValue given = JS_GetProperty(context, object, names.headers);
  if (JS_IsException(given)) {
    return refuse_exception(script);
  }
  struct list headers = {.room = 0};
  if (JS_IsUndefined(given) && is_own) {
    // Keep the draft's headers unchanged: not in lower case, and not joined.
    for (size_t index = 0; index < draft->headers.length; index++) {
      if (!push(&headers, draft->headers.items[index])) {
        return false;
      }
    }
  } else if (!JS_IsUndefined(given) && !read_headers(given, script, &headers)) {
    return false;
  }
  if (!read_body(object, is_own, draft, script, &headers, &request->body)) {
    return false;
  }
  request->headers = headers.headers;
  return true;
}

bool request_equals_draft(const struct request *request, const struct request *draft) {
  if (!texts_are_equal(request->method, draft->method) || !texts_are_equal(request->url, draft->url) ||
      request->body.kind != draft->body.kind || request->headers.length != draft->headers.length) {
    return false;
  }
  for (size_t index = 0; index < draft->headers.length; index++) {
    const struct header *header = &request->headers.items[index], *drafted = &draft->headers.items[index];
    if (header->name.length != drafted->name.length || !texts_are_equal(header->value, drafted->value) ||
        strncasecmp(header->name.bytes, drafted->name.bytes, drafted->name.length) != 0) {
      return false;
    }
  }
  return draft->body.kind == BODY_NONE || texts_are_equal(request->body.content, draft->body.content);
}
