// What the API answers, as far as the console reads it.

/** @typedef {"pending" | "delivering" | "waiting" | "succeeded" | "exhausted" | "dropped" | "cancelled"} DeliveryState */

/**
 * @typedef {object} Delivery
 * @property {string} id
 * @property {string} hook
 * @property {string} event
 * @property {string} event_id
 * @property {string} type
 * @property {"event" | "test" | "replay"} trigger
 * @property {DeliveryState} state
 * @property {number} attempt_count
 * @property {number} interrupted
 * @property {string} [job]
 * @property {string | null} next_attempt_at
 * @property {LastAttempt} [last_attempt] only in lists that ask for it
 * @property {string} created_at
 */

/** @typedef {{number: number, outcome: Attempt["outcome"], status: number | null, error: string | null}} LastAttempt */

/** @typedef {Delivery & {ordering_key?: string, note: string | null, attempts: Attempt[], attempts_next: string | null}} FullDelivery */

/**
 * @typedef {object} Attempt
 * @property {string} id
 * @property {number} number
 * @property {string} started_at
 * @property {number} duration_ms
 * @property {"response" | "timed-out" | "unreachable" | "faulted" | "dropped"} outcome
 * @property {SentRequest | null} request
 * @property {ReceivedResponse | null} response
 * @property {{kind: string, message: string} | null} error
 * @property {number | null} step
 * @property {Fault | null} fault
 * @property {Step[]} steps
 * @property {boolean} truncated
 */

/**
 * @typedef {object} SentRequest
 * @property {string} method
 * @property {string} url
 * @property {Record<string, string>} headers
 * @property {number} body_bytes
 * @property {string} [body_kept_until]
 * @property {{events: number, position: number}} [batch]
 */

/** @typedef {{body: string | null, body_base64?: string}} Body */
/** @typedef {Body & {status: number, headers: Record<string, string>, body_truncated: boolean}} ReceivedResponse */

/**
 * @typedef {object} Step
 * @property {string} plugin
 * @property {number | null} version
 * @property {string | null} digest
 * @property {string | null} role
 * @property {string[]} roles
 * @property {number} fuel
 * @property {number | null} fuel_granted
 * @property {number} duration_us
 * @property {number} memory_bytes
 * @property {{level: string, message: string}[]} logs
 * @property {Fault | null} fault
 */

/** @typedef {{kind: string, message: string, code: string | null, retryable: boolean, backtrace: string[]}} Fault */

/**
 * @typedef {object} DryRun
 * @property {"keep" | "drop" | "fault"} verdict
 * @property {(Body & {method: string, url: string, headers: Record<string, string>}) | null} request
 * @property {Step[]} steps
 * @property {string[]} warnings
 */

/**
 * @typedef {object} HookState
 * @property {"ok" | "failing" | "circuit_open" | "awaiting_permission" | "paused" | "disabled"} name
 * @property {string} [since]
 * @property {string} [until]
 * @property {number} [failed]
 * @property {number} [attempts]
 * @property {"hook" | "tenant" | "engine"} [paused]
 * @property {"by_hand" | "gone" | "failing"} [why]
 * @property {string} [reason]
 */

/**
 * @typedef {object} Hook
 * @property {string} id
 * @property {string} surface
 * @property {string} url
 * @property {string[]} types
 * @property {number | null} project
 * @property {boolean} enabled
 * @property {string} description
 * @property {Record<string, string>} headers
 * @property {string[]} masked_headers
 * @property {{plugin: string, settings: any}[]} pipeline numbers of settings may have lost digits: see `rawPipeline`
 * @property {number} timeout_ms
 * @property {{schedule_s: number[]}} retry
 * @property {string} signing
 * @property {boolean} paused
 * @property {number} [max_in_flight]
 * @property {number} [max_per_second]
 * @property {string} [ordering]
 * @property {number} [ordering_skip_after]
 * @property {number} [retain_bodies_s]
 * @property {any} [batch]
 * @property {HookState} state
 * @property {number} [held]
 * @property {boolean} [unreadable]
 * @property {string} created_at
 * @property {string} updated_at
 */

/**
 * @typedef {object} EventSummary
 * @property {string} id
 * @property {string} engine_id
 * @property {string} type
 * @property {number | null} project
 * @property {string} occurred_at
 * @property {string} accepted_at
 * @property {string} [erased_at]
 * @property {Partial<Record<DeliveryState, number>>} deliveries
 */

/** @typedef {{hook: string, matches: boolean, why: string[], delivery: {id: string, state: DeliveryState, trigger: string} | null}} Match */

/**
 * @typedef {object} Job
 * @property {string} id
 * @property {"replay" | "retry" | "cancel"} kind
 * @property {"running" | "paused" | "completed" | "cancelled" | "failed"} state
 * @property {string | null} reason
 * @property {any} filter
 * @property {number} examined
 * @property {number} made
 * @property {number} skipped
 * @property {number} [outstanding]
 * @property {number} [interrupted]
 * @property {string} created_at
 * @property {string | null} finished_at
 */

/** @typedef {{attempts: number, success_rate: number | null, outcomes: Record<string, number>, latency_ms: {p50: number, p95: number, p99: number} | null}} Counts */
/** @typedef {{since: string, until: string, total: Counts, hours: (Counts & {hour: string})[]}} Stats */

export {};
