// What every view of a job shows: its place, how far it has come, that the line broke, how it ended.
import { html, useEffect, useRef, useState } from "./html.js";
import { Note, Trouble } from "./asking.js";
import { Problem } from "./api.js";
import { Blot } from "./blot.js";
import { Icon } from "./icons.js";
import { cancel, isFinal, looked, watch } from "./jobs.js";
import { Progress } from "./parts.js";
import { Plot } from "./plot.js";
import { duration, percent, t } from "./words.js";

const NOTHING = { job: null, curve: [], metrics: [], preview: "", lost: 0, problem: null };

/** Follow a job as long as it is shown. @param {string} id @returns {import("./jobs.js").Watched} */
export function useJob(id) {
  const [now, set] = useState(/** @type {any} */ ({ ...NOTHING, id }));
  useEffect(() => {
    set({ ...NOTHING, id });
    if (!id) return undefined;
    const stop = new AbortController();
    looked.add(id);
    watch(id, (told) => set({ ...told, id }), stop.signal);
    return () => {
      looked.delete(id);
      stop.abort();
    };
  }, [id]);
  return now.id === id ? now : NOTHING;
}

/** Submitting an order: busy until it is taken; a full queue is tried again by itself. */
export function useOrder() {
  const [state, set] = useState({ busy: false, problem: /** @type {unknown} */ (null), wait: 0 });
  const timer = useRef(0);
  useEffect(() => () => clearInterval(timer.current), []);
  /** @param {() => Promise<void>} order */
  const give = async (order) => {
    clearInterval(timer.current);
    set((now) => ({ ...now, busy: true, wait: 0 })); // what was wrong stays until there is another answer
    try {
      await order();
      set({ busy: false, problem: null, wait: 0 });
    } catch (problem) {
      const wait = problem instanceof Problem && problem.slug === "queue-full" ? problem.retryAfter || 10 : 0;
      set({ busy: false, problem, wait });
      if (wait) countDown(order);
    }
  };
  const countDown = (order) => {
    timer.current = setInterval(() => set((now) => {
      if (now.wait <= 1) {
        clearInterval(timer.current);
        if (now.wait === 1) setTimeout(() => give(order));
      }
      return { ...now, wait: Math.max(0, now.wait - 1) };
    }), 1000);
  };
  return { ...state, give };
}

/** @param {{now: import("./jobs.js").Watched}} props */
export const Lost = ({ now }) => (now.lost > 0 && now.job && !isFinal(now.job) ? html`<${Note} title=${t("state.lost")}><p>${t("state.lost.text", { n: now.lost })}</p><//>` : null);

/** A job that is there. @typedef {import("./jobs.js").Watched & {job: import("./jobs.js").Job}} Found */

/** The place in the queue, and a blot that breathes. @param {{now: Found}} props */
export const Queued = ({ now }) => html`<div class="grid"><div class="c7"><div class="blotwait"><${Blot} name=${now.job.id} /></div></div><div class="c5 stack">
  <p class="say" role="status">${now.job.queue?.position > 1 ? t("state.place", { n: now.job.queue.position }) : t("state.next")}</p>
  <p class="quiet">${now.job.queue?.position > 1 ? t("state.place.text", { n: now.job.queue.position - 1, time: duration(now.job.queue.eta_s) }) : t("state.next.text")}</p>
  <p class="small quiet">${t("state.blot")}</p><button type="button" class="btn" onClick=${() => cancel(now.job.id)}><${Icon} name="cross" />${t("state.withdraw")}</button></div></div>`;

const MIN_POINTS = 4;
const QUARTERS = [0.25, 0.5, 0.75, 1];

/** Said aloud at every quarter, not at every step. @param {{share: number}} props */
function Quarters({ share }) {
  const passed = QUARTERS.filter((quarter) => share >= quarter).at(-1);
  return html`<p class="vh" role="status">${passed ? t("state.quarter", { share: percent(passed) }) : ""}</p>`;
}

/** @param {{now: Found, label: string, stop: string}} props */
export function Running({ now, label, stop }) {
  const at = now.job.progress ?? { step: 0, steps: 1 };
  const share = at.step / Math.max(1, at.steps);
  return html`<div class="stack-s"><${Progress} share=${share} label=${label} /><${Quarters} share=${share} />
    <p class="row far small"><span>${at.eta_s ? t("state.left", { time: duration(at.eta_s) }) : ""}</span><span class="quiet">${t("state.step", { step: at.step, steps: at.steps })}</span></p>
    <button type="button" class="btn" onClick=${() => cancel(now.job.id)}><${Icon} name="stop" />${stop}</button></div>`;
}

/** @param {{now: import("./jobs.js").Watched, label: string}} props */
export function ScoreCurve({ now, label }) {
  const { curve } = now;
  if (curve.length < MIN_POINTS) return null;
  const score = { label, ink: "--voice", values: curve.map((one) => one.score) };
  return html`<${Plot} x=${curve.map((one) => one.step)} axis=${t("plot.step")} label=${t("plot.score.alt", { from: percent(curve[0].score), to: percent(curve.at(-1)?.score ?? 0) })} series=${[score]} />`;
}

/** A job that failed, or is not kept any longer; `again` is the way to run its recipe anew. @param {{now: import("./jobs.js").Watched, again?: () => void}} props */
export function Failed({ now, again }) {
  const button = again && html`<button type="button" class="btn main" onClick=${again}>${t("state.again")}</button>`;
  if (now.problem) return html`<${Trouble} problem=${now.problem}>${button}<//>`;
  if (now.job?.status !== "failed") return null;
  const error = now.job.error ?? {};
  const slug = String(error.type).split("/").pop() ?? "internal";
  return html`<${Trouble} problem=${new Problem(slug, error)}>${button}<//>`;
}
