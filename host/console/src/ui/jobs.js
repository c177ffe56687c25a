// Jobs that were started here, with their progress: work on many events or deliveries in the background.
import { html, signal, useEffect } from "../lib/html.js";
import { api, may, tenant } from "../lib/api.js";
import { count, plural } from "../lib/format.js";
import { href } from "../lib/router.js";
import { Button, State } from "./basics.js";

/** @typedef {import("../lib/types.js").Job} Job */

const watched = signal(/** @type {Job[]} */ ([]));
const isRunning = (/** @type {Job} */ job) => job.state === "running" || job.state === "paused";

/** Shows a job until it is dismissed. @param {Job} job */
export function watchJob(job) {
  watched.value = [job, ...watched.value.filter((other) => other.id !== job.id)].slice(0, 5);
}

/** @type {Record<string, [string, string]>} */
const WORDS = { replay: ["Replay", "sent again"], retry: ["Retry", "retried"], cancel: ["Cancellation", "cancelled"] };

export function Jobs() {
  const running = watched.value.filter(isRunning).map((job) => job.id).join(" ");
  useEffect(() => {
    watched.value = [];
  }, [tenant.value?.id]);
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(async () => {
      const fresh = await Promise.all(running.split(" ").map((id) => api.get(`/jobs/${id}`).catch(() => null)));
      watched.value = watched.value.map((job) => fresh.find((other) => other?.id === job.id) ?? job);
    }, 1000);
    return () => clearInterval(timer);
  }, [running]);
  if (watched.value.length === 0) return null;
  return html`<section class="jobs" aria-label="Jobs">${watched.value.map((job) => html`<${Progress} key=${job.id} job=${job} />`)}</section>`;
}

/** @param {{job: Job}} props */
function Progress({ job }) {
  const [name, done] = WORDS[job.kind];
  const change = async (/** @type {string} */ verb) => watchJob(await api.post(`/jobs/${job.id}/${verb}`));
  const dismiss = () => {
    watched.value = watched.value.filter((other) => other.id !== job.id);
  };
  const mayChange = may("deliveries:write");
  return html`<div class="job"><div class="job-head"><strong>${name}</strong><${State} value=${job.state} />
      <span class="grow"></span>
      ${isRunning(job) && mayChange && html`<${Button} kind="quiet" small icon=${job.state === "paused" ? "play" : "pause"} label=${job.state === "paused" ? "Resume the job" : "Pause the job"} onClick=${() => change(job.state === "paused" ? "resume" : "pause")} />
        <${Button} kind="quiet" small icon="stop" label="Stop the job" onClick=${() => change("cancel")} />`}
      ${!isRunning(job) && html`<${Button} kind="quiet" small icon="close" label="Dismiss" onClick=${dismiss} />`}</div>
    <progress aria-label=${`${name}: progress`} max="1" value=${isRunning(job) ? undefined : 1}></progress>
    <p>${count(job.examined)} examined, <a href=${href(["deliveries"], job.kind === "replay" ? { job: job.id } : {})}>${plural(job.made, "delivery", "deliveries")}</a> ${done}, ${count(job.skipped)} left out${job.outstanding ? `, ${count(job.outstanding)} still to be attempted` : ""}.</p>
    ${job.reason && html`<p class="error">${job.reason}</p>`}</div>`;
}
