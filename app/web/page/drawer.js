// All jobs, at hand in every view; and word of one that ended elsewhere.
import { html, useEffect } from "./html.js";
import { Blot } from "./blot.js";
import { useDisplay } from "./display.js";
import { Icon } from "./icons.js";
import { cancel, ended, forget, isFinal, jobs, viewOf } from "./jobs.js";
import { Progress } from "./parts.js";
import { go, link } from "./route.js";
import { day, duration, percent, t } from "./words.js";

/** @param {any} job @param {(label: string) => string} display */
export function titleOf(job, display) {
  const { kind, input } = job;
  if (kind === "ideal_image") {
    const { label, layer, channel } = input.objective;
    return label ? t("job.ideal", { name: display(label) }) : t("job.channel", { layer, channel });
  }
  if (kind === "adversarial_image") return input.target ? t("job.fool", { name: display(input.target) }) : t("job.fool.any");
  return t(kind === "model" ? "job.teach" : "job.correct", { name: input.name ?? input.model });
}

/** @param {any} job */
export function stateOf(job) {
  if (job.status === "queued") return job.queue?.position > 1 ? t("job.place", { n: job.queue.position, time: duration(job.queue.eta_s) }) : t("job.next");
  if (job.status === "running") {
    const at = job.progress;
    return at ? t("job.step", { step: at.step, steps: at.steps, time: at.eta_s ? duration(at.eta_s) : "…" }) : t("job.begins");
  }
  if (job.status === "canceled") return t("job.canceled");
  if (job.status === "failed") return t("job.failed");
  if (job.kind === "model" || job.kind === "correction") return t("job.taught", { score: percent(job.result.metrics.accuracy) });
  return job.result?.success === false ? t("job.missed") : t("job.done");
}

/** @param {{job: any}} props */
function Entry({ job }) {
  const display = useDisplay(job.input.model ?? "");
  const title = titleOf(job, display);
  const image = job.result?.files?.final ?? job.result?.files?.adversarial ?? job.preview;
  const share = job.progress ? job.progress.step / job.progress.steps : 0;
  const hide = () => document.getElementById("jobs")?.hidePopover();
  return html`<li class="job">${image ? html`<img src=${image} alt="" loading="lazy" />` : html`<${Blot} name=${job.id} />`}
    <div><a href=${link(viewOf(job), job.id)} onClick=${hide}><b>${title}</b></a><p>${stateOf(job)}${job.expires_at ? ` · ${t("job.kept", { day: day(job.expires_at) })}` : ""}</p></div>
    ${isFinal(job) ? html`<button type="button" class="icon" aria-label=${t("job.forget", { title })} onClick=${() => forget(job.id)}><${Icon} name="trash" /></button>`
      : html`<button type="button" class="icon" aria-label=${t("job.stop", { title })} onClick=${() => cancel(job.id)}><${Icon} name="stop" /></button>`}
    ${job.status === "running" && html`<${Progress} share=${share} label=${title} />`}</li>`;
}

export const Drawer = () => html`<aside class="drawer" id="jobs" popover role="dialog" aria-label=${t("shell.jobs")}><div class="row far"><h2>${t("shell.jobs")}</h2>
  <button type="button" class="icon" popovertarget="jobs" popovertargetaction="hide" aria-label=${t("close")}><${Icon} name="cross" /></button></div>
  <p class="small quiet">${t("jobs.text")}</p>
  ${jobs.value.length === 0 ? html`<p class="quiet">${t("jobs.none")}</p>` : html`<ul>${jobs.value.map((job) => html`<${Entry} key=${job.id} job=${job} />`)}</ul>`}</aside>`;

const TOAST_MS = 9000;

export function Toast() {
  const job = ended.value;
  const display = useDisplay(job?.input.model ?? "");
  useEffect(() => {
    const timer = job ? setTimeout(() => { ended.value = null; }, TOAST_MS) : 0;
    return () => clearTimeout(timer);
  }, [job]);
  return html`<div class="toasts" role="status">${job && html`<div class="toast"><${Blot} name=${job.id} /><p><b>${titleOf(job, display)}</b><br />${stateOf(job)}</p>
    <button type="button" class="btn" onClick=${() => { go(viewOf(job), job.id); ended.value = null; }}>${t("job.open")}</button></div>`}</div>`;
}
