// Jobs: all that run and ran, and the one that is looked at, live.
//
// The list is asked for again and again, since a browser opens only six streams to a server; one job at a time is followed.
import { computed, effect, signal } from "./html.js";
import { Problem, ask, askJson, pause, returns } from "./api.js";

/** Jobs that are looked at: of their end nobody needs to be told. @type {Set<string>} */
export const looked = new Set();
const FINAL = new Set(["succeeded", "failed", "canceled"]);
const BUSY_MS = 1500;
const IDLE_MS = 15000;
const TRIES = 5;

/** @typedef {{id: string, kind: string, status: string, input: any} & Record<string, any>} Job */

export const jobs = signal(/** @type {Job[]} */ ([]));
export const open = computed(() => jobs.value.filter((job) => !FINAL.has(job.status)));
export const ended = signal(/** @type {Job | null} */ (null));
/** The job that ended last, in another view than its own. */

/** @param {Job} job */
export const isFinal = (job) => FINAL.has(job.status);
/** The view that shows a kind of job. @param {Job} job */
export const viewOf = (job) => ({ ideal_image: "ideal", adversarial_image: "fool" })[job.kind] ?? "teach";

let timer = 0;
let before = new Map();

/** @returns {Promise<void>} */
export async function refreshJobs() {
  clearTimeout(timer);
  try {
    jobs.value = (await askJson("/v1/jobs", { query: { limit: 60 } })).data;
    for (const job of jobs.value) {
      const old = before.get(job.id);
      if (old && !FINAL.has(old) && isFinal(job) && !looked.has(job.id)) ended.value = job;
    }
    before = new Map(jobs.value.map((job) => [job.id, job.status]));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  } finally {
    timer = setTimeout(refreshJobs, open.value.length > 0 ? BUSY_MS : IDLE_MS);
  }
}

/** @param {string} path @param {Parameters<typeof askJson>[1]} request @returns {Promise<Job>} */
export async function submit(path, request) {
  const headers = { "Idempotency-Key": `page-${Date.now()}-${Math.random().toString(36).slice(2)}`, ...request?.headers };
  const job = await askJson(path, { method: "POST", ...request, headers });
  before.set(job.id, job.status);
  void refreshJobs();
  return job;
}

/** @param {string} id */
export async function cancel(id) {
  await askJson(`/v1/jobs/${id}/cancel`, { method: "POST" });
  await refreshJobs();
}

/** @param {string} id */
export async function forget(id) {
  await ask(`/v1/jobs/${id}`, { method: "DELETE" });
  await refreshJobs();
}

/**
 * What is known of a job while it is watched. `curve` has a point for each step, `lost` how often the stream broke off in a row.
 * @typedef {{job: Job | null, curve: {step: number, score: number, loss: number}[], metrics: Record<string, any>[], preview: string, lost: number, problem: unknown}} Watched
 */

/** Follow a job until `stop` is aborted. @param {string} id @param {(now: Watched) => void} tell @param {AbortSignal} stop */
export async function watch(id, tell, stop) {
  /** @type {Watched} */
  let now = { job: null, curve: [], metrics: [], preview: "", lost: 0, problem: null };
  const heard = { last: 0 };
  const set = (change) => {
    now = { ...now, ...change };
    if (!stop.aborted) tell(now);
  };
  while (!stop.aborted) {
    try {
      const job = await askJson(`/v1/jobs/${id}`, { signal: stop });
      set({ job, preview: now.preview || (job.preview ?? ""), problem: null });
      if (now.lost < TRIES) await stream(id, heard, (event) => set(changed(now, event)), stop);
      if (isFinal(now.job ?? job)) {
        const missed = await askJson(`/v1/jobs/${id}/events`, { headers: { "Last-Event-ID": String(heard.last) }, signal: stop });
        for (const event of missed.data) set(changed(now, event));
        void refreshJobs();
        return;
      }
    } catch (error) {
      if (stop.aborted) return;
      if (error instanceof Problem && error.slug !== "unreachable" && error.slug !== "worker-down") {
        set({ problem: error });
        return;
      }
    }
    set({ lost: now.lost + 1 });
    await pause(Math.min(2000, 250 * 2 ** now.lost), stop).catch(() => {});
  }
}

/** @param {Watched} now @param {{event: string, data: any}} event @returns {Partial<Watched>} */
function changed(now, { event, data }) {
  const { job } = now;
  if (!job) return {};
  if (event === "queued") return { lost: 0, job: { ...job, queue: { position: data.position, eta_s: data.eta_s } } };
  if (event === "started") return { lost: 0, job: { ...job, status: isFinal(job) ? job.status : "running", queue: null } };
  if (event === "preview") return { lost: 0, preview: data.href };
  if (event === "metric") return { lost: 0, metrics: [...now.metrics, data] };
  if (event === "end") return { lost: 0, job: data.job ?? { ...job, status: "canceled" } };
  if (event !== "progress") return {};
  const curve = typeof data.score === "number" ? [...now.curve.filter((one) => one.step < data.step), data] : now.curve;
  const running = isFinal(job) ? job : { ...job, status: "running", queue: null, progress: data };
  return { lost: 0, job: running, curve };
}

/** Read a stream of events by fetch, from the last that was heard. @param {string} id @param {{last: number}} heard @param {(event: {event: string, data: any}) => void} tell @param {AbortSignal} stop */
async function stream(id, heard, tell, stop) {
  /** @type {Record<string, string>} */
  const headers = heard.last ? { "Last-Event-ID": String(heard.last) } : {};
  const answer = await ask(`/v1/jobs/${id}/events`, { form: "text/event-stream", headers, signal: stop });
  if (answer.status === 204 || !answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value.replaceAll("\r", "")).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      if (fields.id) heard.last = Number(fields.id);
      if (fields.data) tell({ event: fields.event ?? "message", data: JSON.parse(fields.data) });
    }
  }
}

effect(() => {
  void returns.value;
  void refreshJobs();
});
