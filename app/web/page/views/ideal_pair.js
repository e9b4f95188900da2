// The same seed without and with the variation loss, and what networks that took no part call each.
import { html, useState } from "../html.js";
import { Trouble } from "../asking.js";
import { useJob } from "../job_view.js";
import { isFinal, jobs } from "../jobs.js";
import { paint } from "../orders.js";
import { Compare, Progress } from "../parts.js";
import { percent, t } from "../words.js";

/** @param {any} a @param {any} b */
const alike = (a, b) => a.model === b.model && a.objective.label === b.objective.label && a.seed === b.seed && a.size === b.size;

/** @param {any} job @param {string} preset */
const sibling = (job, preset) => (job.input.preset === preset ? job : jobs.value.find((one) => one.kind === "ideal_image" && one.input.preset === preset && alike(one.input, job.input) && one.status !== "failed" && one.status !== "canceled"));

/** @param {{preset: string, job: any, display: (label: string) => string, models: string[]}} props */
const Row = ({ preset, job, display, models }) => html`<tr><th scope="row"><img src=${job.result.files.final} alt="" />${t(`preset.${preset}`)}</th><td class=${job.result.success ? "voice" : ""}>${display(job.result.label)}<br />${job.result.success ? "" : `${display(job.input.objective.label)} `}${percent(job.result.png_score ?? job.result.score)}</td>
  ${models.map((name) => {
    const check = job.result.checks.find((one) => one.model === name);
    return html`<td key=${name} class=${check?.agrees ? "voice" : ""}>${check ? html`${display(check.label)}<br />${percent(check.score)}` : ""}</td>`;
  })}</tr>`;

/** @param {{job: any, display: (label: string) => string}} props */
export function Pair({ job, display }) {
  const [problem, setProblem] = useState(/** @type {unknown} */ (null));
  const found = Object.fromEntries(["raw", "lesson", "clear", "fine", "quick"].map((preset) => [preset, sibling(job, preset)]));
  const going = [found.raw, found.lesson].filter((one) => one && !isFinal(one));
  const watched = useJob(going[0]?.id ?? "");
  const done = Object.entries(found).filter(([, one]) => one?.status === "succeeded");
  const start = async () => {
    setProblem(null);
    try {
      for (const preset of ["raw", "lesson"]) if (!found[preset]) await paint({ model: job.input.model, objective: job.input.objective, seed: job.input.seed, size: job.input.size, preset });
    } catch (error) {
      setProblem(error);
    }
  };
  const both = found.raw?.status === "succeeded" && found.lesson?.status === "succeeded";
  const models = job.result.checks.filter((one) => !one.took_part).map((one) => one.model);
  const at = watched.job?.progress;
  return html`<hr /><div class="grid"><div class="c6">${both ? html`<${Compare} before=${found.raw.result.files.final} after=${found.lesson.result.files.final} alt=${t("pair.raw.alt")} altAfter=${t("pair.lesson.alt")} left=${t("pair.without")} right=${t("pair.with")} label=${t("pair.label")} />`
    : html`<div class="blotwait low">${going.length > 0 ? html`<div class="stack-s narrow"><p>${t("pair.going", { n: going.length })}</p><${Progress} share=${at ? at.step / at.steps : 0} label=${t("ideal.painting")} /></div>` : html`<button type="button" class="btn main" onClick=${start}>${t("pair.start")}</button>`}</div>`}<${Trouble} problem=${problem} /></div>
    <div class="c6 stack"><h2 class="h3">${t("pair.title")}</h2><p>${t("pair.text")}</p><div class="scroll" tabindex="0" role="region" aria-label=${t("pair.title")}><table class="verdict"><thead><tr><td></td><th scope="col">${t("pair.this")}</th>${models.map((name) => html`<th scope="col" key=${name}>${name}</th>`)}</tr></thead>
    <tbody>${done.map(([preset, one]) => html`<${Row} key=${preset} preset=${preset} job=${one} display=${display} models=${models} />`)}</tbody></table></div></div></div>`;
}
