// Puts together what a list and the stream say of a delivery. Pure functions of what the API answers.

/** @typedef {import("../../lib/types.js").Delivery} Delivery */
/** @typedef {import("../../lib/types.js").LastAttempt} LastAttempt */

/**
 * A delivery of the stream as lists have it, as far as it is told.
 * @param {{delivery: Delivery, attempt: any}} change @returns {Delivery}
 */
export function deliveryOf({ delivery, attempt }) {
  if (!attempt) return delivery;
  const { number, outcome, status, error, fault } = attempt;
  return { ...delivery, last_attempt: { number, outcome, status, error: error ?? fault?.message ?? null } };
}

/** @param {Delivery | undefined} known @param {Delivery} told perhaps only parts of it @returns {Delivery} */
export function add(known, told) {
  const { last_attempt, ...delivery } = { ...known, ...told };
  // What another node attempted is told without the attempt.
  return last_attempt && last_attempt.number >= delivery.attempt_count ? { ...delivery, last_attempt } : delivery;
}

const FINAL = new Set(["succeeded", "exhausted", "dropped", "cancelled"]);

/**
 * The later one of what is known: changes may come in any order relative to the list.
 * @param {Delivery} known @param {Delivery | undefined} told @returns {Delivery}
 */
export function merge(known, told) {
  if (!told) return known;
  const isOlder = told.attempt_count < known.attempt_count
    || (told.attempt_count === known.attempt_count && FINAL.has(known.state) && !FINAL.has(told.state) && known.attempt_count > 0 && told.state !== "pending");
  return isOlder ? known : add(known, told);
}
