// Fool: a change that people do not see, and the network does.
import { html, useEffect, useState } from "../html.js";
import { address, fetched } from "../api.js";
import { Note, Trouble, useAnswer } from "../asking.js";
import { useClassification } from "../classification.js";
import { useDisplay } from "../display.js";
import { Failed, Lost, Queued, Running, useJob, useOrder } from "../job_view.js";
import { isFinal } from "../jobs.js";
import { labelsOf, model, models, search } from "../models.js";
import { Answers, Combo, Foot, Head, Pick, Ticks, quoted } from "../parts.js";
import { picture, pictureNamed, use } from "../picture.js";
import { Dock } from "../picture_tools.js";
import { change } from "../orders.js";
import { recipeOf } from "../recipes.js";
import { choose, go, route } from "../route.js";
import { article, language, percent, rich, t } from "../words.js";
import { Fooled } from "./fooled.js";

const METHODS = ["robust", "minimal", "pgd", "fgsm", "lesson", "patch"];
const UNBOUNDED = ["minimal", "patch"];
const WAYS = ["messenger", "edit"]; // saving, always
const FIRST = { imagenet: "tabby", pets: "Bengal" };

/** The class that is furthest from what it is now, of two; else one that is known to work. @param {string} name @param {any[]} labels @param {string | undefined} now */
function firstTarget(name, labels, now) {
  const wanted = labels.find((one) => one.label === FIRST[name] && one.label !== now);
  return (wanted ?? labels.find((one) => one.label !== now))?.label ?? "";
}

/** Networks of the same classes: one picture may fool all. @param {string} name */
function companions(name) {
  const own = models.value.find((one) => one.name === name);
  return models.value.filter((one) => own && one !== own && !one.is_trained && !own.is_trained && one.num_classes === own.num_classes).map((one) => one.name);
}

/** @param {any} job @param {number} levels */
const stronger = (job, levels) => ({ ...job.input, steps: undefined, ...(job.input.method === "patch" ? { patch: 0.2 } : { epsilon: `${levels}/255` }) });

/** @param {{now: any, give: any, display: (label: string) => string}} props */
function Missed({ now, give, display }) {
  const { result, input } = now.job;
  const next = Math.min(32, Math.max(12, 3 * Number.parseInt(result.perturbation.linf)));
  const kept = recipeOf(now.job.id);
  const again = (changes) => give(async () => go("fool", (await change({ ...stronger(now.job, next), ...changes }, await pictureOf(now.job, kept))).id, route.value.choices));
  return html`<${Note} title=${t("fool.missed", { n: result.perturbation.linf })}><p>${rich("fool.missed.text", { name: display(input.target ?? result.after.label), score: percent(input.target && result.after.label !== input.target ? (now.job.progress?.score ?? 0) : result.after.score) })}</p>
    <div class="row"><button type="button" class="btn main" onClick=${() => again({})}>${input.method === "patch" ? t("fool.try.patch") : t("fool.try", { n: next })}</button><button type="button" class="btn" onClick=${() => again({ steps: 2 * input.steps })}>${t("fool.more")}</button></div><//>`;
}

/** What a job is about: in its files, or kept here. @param {any} job @param {any} kept */
async function pictureOf(job, kept) {
  const href = job?.result?.files?.original;
  if (!href) return (kept?.picture && (await pictureNamed(kept.picture))) || picture.value;
  const blob = await (await fetched(href)).blob();
  return { id: kept?.picture ?? "", name: "original.png", blob, url: "", width: 0, height: 0 };
}

/** @param {{now: any}} props */
function Changing({ now }) {
  const shown = picture.value;
  return html`<div class="grid"><div class="c7"><div class="pic">${now.preview || shown ? html`<img class="sq" src=${now.preview || shown?.url} alt=${t("fool.preview", { step: now.job.progress?.step ?? 0 })} />` : ""}</div></div>
    <div class="c5 stack"><p class="say voice">${typeof now.job.progress?.score === "number" ? percent(now.job.progress.score) : "…"}</p><p class="quiet small">${t("fool.certain")}</p>
    <${Running} now=${now} label=${t("fool.changing")} stop=${t("state.stop")} /><${Lost} now=${now} /></div></div>`;
}

export function Fool() {
  const id = route.value.argument;
  const now = useJob(id);
  const shown = picture.value;
  const name = model.value;
  const { value: found, problem: unseen } = useClassification(name, shown, 3);
  const labels = useAnswer(() => labelsOf(name), [name, language.value]).value ?? [];
  const [target, setTarget] = useState("");
  const [method, setMethod] = useState("robust");
  const [survive, setSurvive] = useState(/** @type {string[]} */ ([]));
  const [together, setTogether] = useState(/** @type {string[]} */ ([]));
  const [place, setPlace] = useState("anywhere");
  const [levels, setLevels] = useState(4);
  const { busy, problem, wait, give } = useOrder();
  const input = now.job?.input;
  const display = useDisplay(input?.model ?? name);
  useEffect(() => {
    if (!input) return;
    setTarget(input.target ?? "");
    setMethod(input.method);
    setSurvive(input.survive ?? []);
    setPlace(input.place ?? place);
    setTogether((input.models ?? []).slice(1));
    if (input.epsilon) setLevels(Math.round(input.epsilon * 255));
  }, [input?.seed, id]);
  const ended = now.job?.result;
  useEffect(() => { // shown is what the job is about, also by a link
    if (!ended || route.value.choices.p) return;
    const kept = recipeOf(id)?.picture;
    if (kept) choose({ p: kept });
    else pictureOf(now.job, null).then((of) => use(of.blob, of.name), () => {});
  }, [id, Boolean(ended)]);
  const wanted = labels.some((one) => one.label === target) ? target : firstTarget(name, labels, found?.predictions[0].label);
  const others = companions(name);
  const fooled = [name, ...others.filter((one) => together.includes(one))];
  const ways = WAYS.filter((one) => survive.includes(one));
  const query = { model: name, models: fooled.length > 1 ? fooled.join() : undefined, target: wanted, method, survive: method === "robust" && ways.length ? ["file", ...ways].join() : undefined, ...(method === "patch" && { place }), epsilon: UNBOUNDED.includes(method) ? undefined : `${levels}/255` };
  const start = (event, changes = {}) => {
    event?.preventDefault();
    give(async () => {
      const of = event ? shown : await pictureOf(now.job, recipeOf(id));
      go("fool", (await change({ ...query, ...changes }, of)).id, route.value.choices);
    });
  };
  const { job } = now;
  const again = recipeOf(id) && (() => start(undefined, recipeOf(id)?.input));
  const where = location.origin + address("/v1/adversarial-images", query).replaceAll("%2C", ",").replaceAll("%2F", "/");
  const given = Object.entries(query).filter(([, value]) => value).map(([key, value]) => `, ${key}=${JSON.stringify(value)}`).join("");
  const file = shown?.name ?? "dog.png";
  return html`<${Head} title=${t("fool.title")} text=${t("fool.text")}><${Dock} /><//>
    <form class="controls" onSubmit=${start}><${Combo} label=${t("fool.target")} value=${labels.find((one) => one.label === wanted)?.display ?? wanted} find=${(text) => search(labels, text)} onChoose=${(one) => setTarget(one.label)} />
    <${Pick} label=${t("fool.method")} value=${method} onChange=${setMethod} options=${METHODS.map((key) => [key, t(`attack.${key}`)])} />
    <label class="field"><span>${UNBOUNDED.includes(method) ? t(`fool.${method}.least`) : t("fool.strength", { n: levels })}</span><input type="range" min="1" max="16" value=${levels} disabled=${UNBOUNDED.includes(method)} aria-label=${t("fool.strength.label")} onInput=${(event) => setLevels(Number(event.target.value))} /></label>
    <p class="small quiet method">${t(`attack.${method}.text`)}</p>
    ${method === "robust" && html`<${Ticks} label=${t("fool.survive")} options=${WAYS.map((key) => [key, t(`survive.${key}`)])} chosen=${survive} onChange=${setSurvive} />`}
    ${method === "patch" && html`<${Pick} label=${t("fool.place")} value=${place} onChange=${setPlace} options=${["anywhere", "center", "top-left", "top-right", "bottom-left", "bottom-right"].map((key) => [key, t(`place.${key}`)])} />`}
    ${others.length > 0 && html`<${Ticks} label=${t("fool.together")} options=${others.map((one) => [one, one])} chosen=${together} onChange=${setTogether} />`}
    <button class="btn main" disabled=${busy || wait > 0 || !shown || !wanted}>${wait ? t("state.in", { what: t("fool.do"), n: wait }) : t("fool.do")}</button></form><${Trouble} problem=${problem ?? unseen} />
    <hr /><div aria-busy=${Boolean(job && !isFinal(job))}><${Failed} now=${now} again=${again} />
    ${!id && html`<${Before} shown=${shown} found=${found} />`}${job?.status === "queued" && html`<${Queued} now=${now} />`}${job?.status === "running" && html`<${Changing} now=${now} />`}
    ${job?.status === "canceled" && html`<${Note} title=${t("state.stopped")}><p>${t("fool.stopped")}</p><//>`}
    ${job?.status === "succeeded" && html`${!job.result.success && html`<${Missed} now=${now} give=${give} display=${display} />`}<${Fooled} key=${job.id} now=${now} display=${display} least=${() => start(undefined, { ...job.input, method: "minimal", steps: undefined, epsilon: undefined, seed: undefined, patch: undefined, place: undefined })} />`}</div>
    <${Foot} curl=${`curl --data-binary @${quoted(file)} -H 'Prefer: wait=60' ${quoted(where)}`} recipe=${{ kind: "adversarial_image", ...(input ?? query) }} end=${id}
      python=${`from pathlib import Path\nfrom app.client import Client\n\nwith Client("${location.origin}") as inkblot:\n    job = inkblot.fool(Path("${file}").read_bytes()${given})\n    *_, end = inkblot.follow(job)`} />`;
}

/** @param {{shown: any, found: any}} props */
const Before = ({ shown, found }) => html`<div class="grid"><div class="c6"><div class="pic">${shown ? html`<img class="sq" src=${shown.url} alt=${t("picture.yours")} />` : html`<div class="blotwait"></div>`}</div></div>
  <div class="c6 stack">${found && html`<p class="say">${rich("fool.now", { a: article(found.predictions[0].display), name: html`<span class="voice">${found.predictions[0].display}</span>` })}</p><${Answers} predictions=${found.predictions} kind="big" />`}<p class="quiet">${t("fool.invite")}</p></div></div>`;
