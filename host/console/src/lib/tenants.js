// The tenants of the engine, for operators.
import { api } from "./api.js";

/** @param {AbortSignal} signal @returns {Promise<{id: string, name: string, suspended_since: string | null, paused_since: string | null, created_at: string}[]>} at most 2,000 */
export async function allTenants(signal) {
  const all = [];
  let cursor;
  for (let page = 0; page < 8; page += 1) {
    const { data, next } = await api.get("/tenants", { query: { limit: 250, cursor }, signal, tenant: null });
    all.push(...data);
    cursor = next;
    if (!next) break;
  }
  return all;
}
