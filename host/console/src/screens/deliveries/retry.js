// Attempting one delivery again by hand.
import { api } from "../../lib/api.js";
import { confirm } from "../../ui/dialog.js";
import { toast } from "../../ui/toast.js";

/**
 * Attempts a delivery again, after a question if it has arrived already.
 * @param {string} id @param {string} [state] @returns {Promise<boolean>} whether it was asked for
 */
export async function retry(id, state) {
  if (state === "succeeded") {
    const text = "The receiver has accepted this delivery. It gets the request a second time, with the same webhook-id.";
    if (!(await confirm({ title: "Send it again?", text, action: "Send again" }))) return false;
  }
  await api.post(`/deliveries/${encodeURIComponent(id)}/retry`);
  toast("The delivery is attempted now.");
  return true;
}
