// What a view waits for, and what it says when that goes wrong.
import { html, useEffect, useRef, useState } from "./html.js";
import { Problem, reachable, returns, told, warming } from "./api.js";
import { Icon } from "./icons.js";
import { Mark } from "./mark.js";
import { t } from "./words.js";

/**
 * The answer to a question that depends on `about`; the last one stays while the next is on its way.
 * A question that failed because the service was away is asked again when it is back.
 * @template T @param {((stop: AbortSignal) => Promise<T>) | null} question @param {unknown[]} about
 * @returns {{value: T | null, busy: boolean, problem: unknown}}
 */
export function useAnswer(question, about) {
  const [state, set] = useState({ value: /** @type {any} */ (null), busy: Boolean(question), problem: /** @type {unknown} */ (null) });
  const again = state.problem instanceof Problem && state.problem.slug === "unreachable" ? returns.value : 0;
  useEffect(() => {
    if (!question) return undefined;
    const stop = new AbortController();
    set((now) => ({ ...now, busy: true }));
    question(stop.signal).then(
      (value) => stop.signal.aborted || set({ value, busy: false, problem: null }),
      (problem) => stop.signal.aborted || set((now) => ({ ...now, busy: false, problem })),
    );
    return () => stop.abort();
  }, [...about, again, Boolean(question)]);
  return state;
}

/** Whether a place on the page has come near to what is seen: what costs the service seconds is not asked for unseen. */
export function useNear() {
  const place = useRef(null);
  const [near, set] = useState(false);
  useEffect(() => {
    const watching = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) return;
      watching.disconnect();
      set(true);
    }, { rootMargin: "25%" });
    watching.observe(/** @type {any} */ (place.current));
    return () => watching.disconnect();
  }, []);
  return { place, near };
}

/** A URL for a blob, given back when another takes its place. @param {Blob | null | undefined} blob */
export function useUrl(blob) {
  const [url, set] = useState("");
  useEffect(() => {
    if (!blob) return undefined;
    const made = URL.createObjectURL(blob);
    set(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return blob ? url : "";
}

/** @param {{title: string, children?: any, icon?: any}} props */
export const Note = ({ title, children, icon = "info" }) => html`<div class="note" role="status">
  <${Icon} name=${icon} /><h3>${title}</h3>${children}</div>`;

/** What went wrong, what still works, and the next step. @param {{problem: unknown, children?: any}} props */
export function Trouble({ problem, children }) {
  if (!problem || (problem instanceof Problem && problem.slug === "unreachable")) return null; // `Weather` says so once
  const { title, text, id } = told(problem);
  return html`<${Note} title=${title}><p>${text}</p>${id && html`<p class="mono">${t("problem.request", { id })}</p>`}
    ${children && html`<div class="row">${children}</div>`}<//>`;
}

/** Until there is something to show. */
export const Waiting = () => html`<div class="blotwait" role="status"><${Mark} /><span class="vh">${t("state.waiting")}</span></div>`;

/** What holds for the whole page: the service is away, or loads its model. */
export function Weather() {
  if (!reachable.value) return html`<${Note} title=${t("problem.unreachable")}><p>${t("advice.unreachable")}</p><//>`;
  return warming.value ? html`<${Note} title=${t("state.warming")}><p>${t("state.warming.text")}</p><//>` : null;
}
