// How the held-out pictures fare while a model is taught.
import { html } from "../html.js";
import { Plot } from "../plot.js";
import { exactPercent, t } from "../words.js";

/** @param {{now: any}} props */
export function LearningCurve({ now }) {
  const tuned = now.job?.input.mode === "fine_tune";
  const judged = now.metrics.filter((one) => one.split === "validation" && typeof one.accuracy === "number" && "epoch" in one === tuned);
  if (judged.length < 2) return null;
  const guess = now.job?.result?.metrics.baseline_accuracy;
  const series = [{ label: t("teach.held"), ink: "--voice", values: judged.map((one) => one.accuracy) }];
  if (guess !== undefined) series.push({ label: t("teach.guess"), ink: "--ink", values: judged.map(() => guess), dash: [2, 5], width: 1.5 });
  return html`<div class="stack-s"><h2 class="h3">${t(tuned ? "teach.curve.epochs" : "teach.curve.tries")}</h2><${Plot} x=${judged.map((one, at) => (tuned ? one.epoch : at + 1))} axis=${t(tuned ? "teach.epoch" : "teach.attempt")} series=${series} height=${220} label=${t("teach.curve.alt", { score: exactPercent(judged.at(-1).accuracy) })} />
    ${!tuned && html`<p class="small quiet">${t("teach.curve.text")}</p>`}</div>`;
}
