// The one thing to try in each chapter of the lesson: live, with the picture that one has.
import { html, useState } from "../html.js";
import { ANIMALS, animals, portrait } from "../animals.js";
import { fetched } from "../api.js";
import { Trouble, Waiting, useAnswer } from "../asking.js";
import { useClassification } from "../classification.js";
import { Tile, stagesOf } from "../feature_maps.js";
import { Icon } from "../icons.js";
import { Interval } from "../interval.js";
import { Running, useJob, useOrder } from "../job_view.js";
import { isFinal } from "../jobs.js";
import { models } from "../models.js";
import { change, teach } from "../orders.js";
import { own } from "../own.js";
import { Answers, Choice, Compare, Flip } from "../parts.js";
import { picture } from "../picture.js";
import { link } from "../route.js";
import { exactPercent, language, t, whole } from "../words.js";

const HEADS = ["imagenet", "pets", "cats-vs-dogs"];
const SURE = 1.96;

/** One eye, and whichever head one puts on it. */
export function Heads() {
  const [head, set] = useState("cats-vs-dogs");
  const shown = picture.value;
  const { value, problem } = useClassification(head, shown, 3);
  const card = models.value.find((one) => one.name === head);
  const judged = card?.metrics.accuracy;
  return html`<div class="heads stack"><div class="transfer">${shown ? html`<img src=${shown.url} alt=${t("picture.yours")} class="sq" />` : html`<span></span>`}<span class="arrow" aria-hidden="true">→</span><div class="bb"><b>${t("l1.eye")}</b>${t("l1.frozen")}</div><span class="arrow a2" aria-hidden="true">→</span>
    <div class="last"><${Trouble} problem=${problem} />${value && html`<${Answers} predictions=${value.predictions} count=${3} kind=${value.unknown?.is_unknown ? "doubt" : ""} />${value.unknown?.is_unknown && html`<p class="small quiet">${t("classify.unknown.short")}</p>`}`}</div></div>
    <div><span class="lab" id="heads">${t("l1.put")}</span><${Choice} label=${t("l1.put")} value=${head} onChange=${set} options=${HEADS.map((name) => [name, t(`l1.head.${name}`)])} /></div>
    <p class="small quiet">${judged ? t("l1.taught", { n: whole(card.metrics.pictures_judged), score: exactPercent(judged) }) : t("l1.original")}</p></div>`;
}

/** From the photo to stage 5: the cat dissolves, and what matters about it remains. */
export function Layers() {
  const [at, set] = useState("1");
  const shown = picture.value;
  const spoken = language.value;
  const { value: stages, problem } = useAnswer(shown && ((stop) => stagesOf(shown.blob, "imagenet", spoken, stop)), [shown, spoken]);
  const stage = stages?.[Number(at) - 1];
  return html`<div class="layers stack"><${Trouble} problem=${problem} /><div class="pic">${at === "0" && shown ? html`<img class="sq" src=${shown.url} alt=${t("picture.yours")} />` : stage ? html`<${Tile} maps=${stage.maps} place=${0} kind="sq" label=${t("l2.stage", { n: at })} />` : html`<${Waiting} />`}</div>
    <${Choice} label=${t("l2.choose")} kind="full" value=${at} onChange=${set} options=${[["0", t("l2.photo")], ...[1, 2, 3, 4, 5].map((n) => [String(n), String(n)])]} />
    <p class="small">${t(`l2.stage.${at}`)}${stage && at !== "0" ? ` ${stage.shape[1]} × ${stage.shape[2]}.` : ""}</p></div>`;
}

/** Noise that becomes a cat; and what the variation loss is for. */
export function Dream() {
  const [at, set] = useState(7);
  return html`<div class="two"><div class="film stack-s"><img class="sq" src=${own(`pictures/film-${at}.webp`)} alt=${t("l3.frame", { n: at + 1 })} /><input type="range" min="0" max="7" value=${at} aria-label=${t("l3.film")} onInput=${(event) => set(Number(event.target.value))} /><div class="ticks"><span>${t("film.noise")}</span><span>${t("l3.end")}</span></div><p class="small">${t("l3.drag")}</p></div>
    <div class="stack-s"><${Compare} before=${own("pictures/ideal-raw.webp")} after=${own("pictures/ideal-lesson.webp")} alt=${t("pair.raw.alt")} altAfter=${t("pair.lesson.alt")} left=${t("l3.without")} right=${t("l3.with")} label=${t("pair.label")} /><p class="small">${t("l3.loss")}</p></div></div>`;
}

const PREPARED = { before: own("pictures/bernese.webp"), after: own("pictures/fooled.webp") };

/** @param {string} href */
function useFile(href) {
  return useAnswer(async () => ({ id: href, name: href, blob: await (await fetched(href)).blob(), url: href, width: 0, height: 0 }), [href]).value;
}

/** A dog that is a cat: prepared, and with one's own picture. */
export function Trick() {
  const [id, setId] = useState("");
  const now = useJob(id);
  const { busy, problem, give } = useOrder();
  const done = now.job?.status === "succeeded" ? now.job.result.files : null;
  const files = done ? { before: done.original, after: done.adversarial } : PREPARED;
  const before = useClassification("cats-vs-dogs", useFile(files.before), 2).value;
  const after = useClassification("cats-vs-dogs", useFile(files.after), 2).value;
  const shown = picture.value;
  const start = () => give(async () => setId((await change({ model: "cats-vs-dogs", method: "pgd", epsilon: "4/255" }, /** @type {any} */ (shown))).id));
  return html`<div class="two"><div class="stack-s"><${Flip} ...${files} label=${t("flip.label")} alt=${t("fool.before.alt")} altAfter=${t("l4.after")} left=${t("l4.left")} right=${t("l4.right")} /><p class="small">${t("l4.hold")}</p></div>
    <div class="stack"><div><h3 class="h4">${t("fool.left.short")}</h3>${before && html`<${Answers} predictions=${before.predictions} kind="held" />`}</div><div><h3 class="h4">${t("l4.changed")}</h3>${after && html`<${Answers} predictions=${after.predictions} />`}</div>
    ${now.job && !isFinal(now.job) ? html`<${Running} now=${now} label=${t("fool.changing")} stop=${t("state.stop")} />` : html`<button type="button" class="btn" disabled=${busy || !shown} onClick=${start}>${t(done ? "l4.again" : "l4.own")}</button>`}<${Trouble} problem=${problem} /></div></div>`;
}

const AMOUNTS = [20, 50, 100, 400, 1000];

/** Wilson's interval for a share of 95 %. @param {number} n @returns {[number, number]} */
function interval(n) {
  const share = Math.round(0.95 * n) / n;
  const middle = (share + SURE ** 2 / (2 * n)) / (1 + SURE ** 2 / n);
  const half = (SURE * Math.sqrt((share * (1 - share)) / n + SURE ** 2 / (4 * n ** 2))) / (1 + SURE ** 2 / n);
  return [middle - half, middle + half];
}

/** Four animals that no network knows by name, taught in a second; and what a few pictures can promise. */
export function Pets() {
  const [id, setId] = useState("");
  const [amount, setAmount] = useState("50");
  const now = useJob(id);
  const { busy, problem, give } = useOrder();
  const metrics = now.job?.result?.metrics;
  const n = Number(amount);
  const start = () => give(async () => setId((await teach({ name: "four-animals", replace: true }, await animals())).id));
  return html`<div class="stack"><ul class="pets">${ANIMALS.map((name) => html`<li key=${name}><div>${[1, 2, 3, 4].map((at) => html`<img key=${at} src=${portrait(name, at)} alt="" />`)}</div><p class="cap"><b>${name}</b></p></li>`)}</ul>
    ${metrics ? html`<p role="status">${t("l5.taught", { score: exactPercent(metrics.accuracy), n: metrics.pictures_judged })} <a href=${link("teach", id)}>${t("l5.report")} →</a></p>` : now.job && !isFinal(now.job) ? html`<${Running} now=${now} label=${t("teach.learning")} stop=${t("state.stop")} />`
      : html`<button type="button" class="btn" disabled=${busy} onClick=${start}><${Icon} name="teach" />${t("l5.teach")}</button>`}<${Trouble} problem=${problem} /><hr />
    <div><span class="lab">${t("l5.amount")}</span><${Choice} label=${t("l5.amount")} value=${amount} onChange=${setAmount} options=${AMOUNTS.map((one) => [String(one), whole(one)])} /></div>
    <p class="big-num">${exactPercent(0.95)}</p><p class="small">${t("l5.suppose", { right: whole(Math.round(0.95 * n)), n: whole(n) })}</p><${Interval} accuracy=${0.95} interval=${interval(n)} guess=${0.5} /></div>`;
}
