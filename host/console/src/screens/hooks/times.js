// Times of fields `datetime-local`, which are in the browser's zone.

/** @param {Date} date @returns {string} */
export function localTime(date) {
  const shifted = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}

/** @param {string} text @returns {string | undefined} */
export function toIso(text) {
  const date = new Date(text);
  return text === "" || Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}
