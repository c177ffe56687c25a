// The types of wit/v1/plugin.wit in the layout of the canonical ABI.

#ifndef HOOKWRIGHT_CONTRACT_H
#define HOOKWRIGHT_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// UTF-8. Text from the host is followed by a zero byte, which the parsers of QuickJS require (see memory.c).
struct text {
  const char *bytes;
  size_t length;
};

struct header {
  struct text name;
  struct text value;
};

struct headers {
  struct header *items;
  size_t length;
};

enum { BODY_NONE, BODY_TEXT, BODY_BINARY };

struct body {
  uint8_t kind;
  struct text content;
};

struct event {
  struct text id;
  struct text type;
  uint64_t occurred_at;
  struct headers attributes;
  struct text data;
};

struct request {
  struct text method;
  struct text url;
  struct headers headers;
  struct body body;
};

struct failure {
  struct text code;
  struct text message;
  uint8_t retryable;
};

// result<option<request>, failure>
struct outcome {
  uint8_t is_failure;
  union {
    struct {
      uint8_t is_some;
      struct request request;
    } sent;
    struct failure failure;
  };
};

// The parameters of `transform`. There are too many to pass them directly, so they are passed in memory.
struct parameters {
  struct event event;
  struct request draft;
};

enum { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

__attribute__((import_module("hookwright:plugin/budget@1.0.0"), import_name("fuel-left")))
uint64_t budget_fuel_left(void);

__attribute__((import_module("hookwright:plugin/budget@1.0.0"), import_name("out-of-fuel"), noreturn))
void budget_out_of_fuel(const char *place, size_t length);

__attribute__((import_module("hookwright:plugin/config@1.0.0"), import_name("get")))
void config_get(struct text *settings);

__attribute__((import_module("hookwright:plugin/log@1.0.0"), import_name("write")))
void log_write(int32_t level, const char *message, size_t length);

#endif
