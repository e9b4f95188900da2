// How good a taught model is, where it errs, and whose mistake that is.
import { html, useEffect, useState } from "../html.js";
import { Trouble } from "../asking.js";
import { Icon } from "../icons.js";
import { Interval } from "../interval.js";
import { useOrder } from "../job_view.js";
import { refreshModels } from "../models.js";
import { correct } from "../orders.js";
import { Who } from "../parts.js";
import { go, link } from "../route.js";
import { exactPercent, percent, plain, rich, t } from "../words.js";
import { LearningCurve } from "./learning_curve.js";

/** @param {{metrics: any, at: string, choose: (cell: string) => void}} props */
function Matrix({ metrics, at, choose }) {
  const names = metrics.per_class.map((one) => one.label);
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t("report.matrix")}><table class="matrix"><caption class="vh">${t("report.matrix")}</caption><thead><tr><td class="quiet">${t("report.axes")}</td>${names.map((name) => html`<th scope="col" key=${name}>${name}</th>`)}</tr></thead>
    <tbody>${metrics.confusion.map((row, is) => html`<tr key=${names[is]}><th scope="row">${names[is]}</th>${row.map((count, said) => {
      const key = `${names[is]} ${names[said]}`;
      if (is === said) return html`<td class="hit">${count}</td>`;
      return count === 0 ? html`<td>·</td>` : html`<td class="miss"><button type="button" aria-pressed=${at === key} aria-label=${t("report.cell", { n: count, is: names[is], said: names[said] })} onClick=${() => choose(at === key ? "" : key)}>${count}</button></td>`;
    })}</tr>`)}</tbody></table></div>`;
}

/** One mistake at a time: the network's, or one's own? @param {{job: any, cell: string, fixed: Record<string, string | null>, setFixed: (fixed: Record<string, string | null>) => void}} props */
function Mistakes({ job, cell, fixed, setFixed }) {
  const { busy, problem, give } = useOrder();
  const [at, setAt] = useState(0);
  const worst = job.result.worst.filter((one) => !cell || cell === `${one.true} ${one.predicted}`);
  const one = worst[Math.min(at, worst.length - 1)];
  const corrections = Object.entries(fixed).map(([picture, label]) => ({ picture, label }));
  const settle = (label) => {
    if (label !== undefined) setFixed({ ...fixed, [one.picture]: label });
    setAt(Math.min(worst.length, at + 1));
  };
  const again = () => give(async () => go("teach", (await correct(job.result.model, corrections)).id));
  const rest = corrections.length > 0 && html`<button type="button" class="btn main" disabled=${busy} onClick=${again}>${t("report.again", { n: job.result.version + 1, count: corrections.length })}</button>`;
  if (job.result.worst.length === 0) return html`<p>${t("report.flawless")}</p>`;
  if (!one || at >= worst.length) return html`<p>${t(corrections.length ? "report.done" : "report.kept")}</p><div class="row">${rest}<button type="button" class="btn" onClick=${() => setAt(0)}>${t("report.over")}</button></div><${Trouble} problem=${problem} />`;
  return html`<div class="mistake"><img src=${one.href} alt=${t("report.mistake.alt", { name: one.picture })} class="sq" /><div class="stack-s"><p>${rich("report.mistake", { is: html`<b>${one.true}</b>`, said: html`<b class="voice">${one.predicted}</b>`, score: percent(one.score) })}</p><p class="small quiet">${one.picture}</p></div></div>
    <div class="row"><button type="button" class="btn" onClick=${() => settle(one.predicted)}>${t("report.is", { name: one.predicted })}</button><button type="button" class="btn" onClick=${() => settle(undefined)}>${t("report.keep", { name: one.true })}</button><button type="button" class="btn" onClick=${() => settle(null)}>${t("report.out")}</button></div>
    <p class="small quiet">${t("report.place", { at: at + 1, n: worst.length })}</p><div class="row">${rest}</div><${Trouble} problem=${problem} />`;
}

/** @param {{now: any}} props */
export function Report({ now }) {
  const { job } = now;
  const { model, version, metrics, warnings, seconds } = job.result;
  const [cell, setCell] = useState("");
  const [fixed, setFixed] = useState(/** @type {Record<string, string | null>} */ ({}));
  useEffect(() => { refreshModels().catch(() => {}); }, [job.id]);
  return html`<div class="grid"><div class="c5 stack"><${Who} name=${model}>· ${t("report.version", { n: version, s: plain((seconds.features ?? 0) + (seconds.fit ?? 0)) })}<//><p class="big-num" role="status">${exactPercent(metrics.accuracy)}</p>
    <p>${t("report.right", { n: metrics.pictures_judged, guess: exactPercent(metrics.baseline_accuracy) })}</p><${Interval} accuracy=${metrics.accuracy} interval=${metrics.accuracy_interval} guess=${metrics.baseline_accuracy} /><p class="small quiet">${t("report.band")}</p>
    ${warnings.length > 0 && html`<ul class="stack-s">${warnings.map((one) => html`<li key=${one.kind} class="small row nowrap"><${Icon} name="info" /><span>${t(`warning.${one.kind}`, { n: one.pictures.length })}</span></li>`)}</ul>`}</div>
    <div class="c7"><${LearningCurve} now=${now} /></div><div class="c6 card stack"><h2 class="h3">${t("report.mixes")}</h2><${Matrix} metrics=${metrics} at=${cell} choose=${setCell} /></div>
    <div class="c6 card stack"><h2 class="h3">${t("report.whose")}</h2><${Mistakes} key=${cell} job=${job} cell=${cell} fixed=${fixed} setFixed=${setFixed} /></div></div><hr />
    <div class="row"><a class="btn main" href=${link("classify", "", { m: model })}>${t("teach.try")} →</a><a class="btn" href="/v1/models/${model}/export" download><${Icon} name="down" />${t("teach.bundle")}</a></div>`;
}
