// Ideal: the picture learns, and the network stays as it is.
import { html, useEffect, useState } from "../html.js";
import { fetched } from "../api.js";
import { useDisplay } from "../display.js";
import { Film } from "../film.js";
import { Icon } from "../icons.js";
import { Failed, Lost, Queued, Running, ScoreCurve, useJob, useOrder } from "../job_view.js";
import { isFinal, jobs } from "../jobs.js";
import { Note, Trouble, useAnswer } from "../asking.js";
import { labelsOf, model, search } from "../models.js";
import { own } from "../own.js";
import { Bars, Choice, Combo, Foot, Head, Who } from "../parts.js";
import { use } from "../picture.js";
import { paint } from "../orders.js";
import { recipeOf } from "../recipes.js";
import { go, link, route } from "../route.js";
import { language, percent, plain, rich, t } from "../words.js";
import { Pair } from "./ideal_pair.js";
import { Seeds } from "./ideal_seeds.js";

const PRESETS = ["clear", "fine", "quick", "lesson", "raw"];
/** Those of single pixels draw one picture only. */
const MANY = new Set(["clear", "fine", "quick"]);
const COUNTS = ["1", "2", "4", "6", "9"];
const APART = [["0", "none"], ["1", "usual"], ["4", "strong"]];
const FIRST = { imagenet: "Persian cat", "cats-vs-dogs": "cat" };

/** @param {any} wish */
const severalOf = ({ preset, count, diversity }) => (MANY.has(preset) && count !== "1" ? { count: Number(count), diversity: Number(diversity) } : {});

/** @param {{wish: any, set: (change: any) => void, labels: any[]}} props */
function Order({ wish, set, labels }) {
  const { busy, problem, wait, give } = useOrder();
  const name = labels.find((one) => one.label === wish.label)?.display ?? wish.label;
  const order = (event) => {
    event.preventDefault();
    const { label, preset, steps, seed, size } = wish;
    const input = { model: model.value, objective: { label }, preset, steps: Number(steps) || undefined, seed: seed === "" ? undefined : Number(seed), size: Number(size), ...severalOf(wish) };
    give(async () => go("ideal", (await paint(input)).id, route.value.choices));
  };
  const number = (key, low, high) => html`<label class="field"><span>${t(`ideal.${key}`)}</span><input type="number" min=${low} max=${high} value=${wish[key]} placeholder=${t(`ideal.${key}.usual`)} onInput=${(event) => set({ [key]: event.target.value })} /></label>`;
  return html`<form class="stack order" onSubmit=${order}><${Combo} label=${t("ideal.what")} value=${name} find=${(text) => search(labels, text)} onChoose=${(one) => set({ label: one.label })} />
    <fieldset class="presets"><legend class="lab">${t("ideal.how")}</legend>${PRESETS.map((key) => html`<label key=${key}><input class="radio-hide" type="radio" name="preset" checked=${wish.preset === key} onChange=${() => set({ preset: key })} />
      <img src=${own(`pictures/preset-${key}.webp`)} alt="" width="56" height="56" /><span><b>${t(`preset.${key}`)}</b><span class="small quiet">${t(`preset.${key}.text`)}</span></span></label>`)}</fieldset>
    ${MANY.has(wish.preset) && html`<div><span class="lab">${t("ideal.count")}</span><${Choice} label=${t("ideal.count")} kind="full" value=${wish.count} onChange=${(count) => set({ count })} options=${COUNTS.map((one) => [one, one])} /></div>
      ${wish.count !== "1" && html`<div><span class="lab">${t("ideal.apart")}</span><${Choice} label=${t("ideal.apart")} kind="full" value=${wish.diversity} onChange=${(diversity) => set({ diversity })} options=${APART.map(([value, key]) => [value, t(`apart.${key}`)])} /></div>`}`}
    <details class="fold"><summary>${t("ideal.more")}</summary><div class="two">${number("steps", 1, 2048)}${number("seed", 0, 9007199254740991)}</div></details>
    <button class="btn main" disabled=${busy || wait > 0 || !wish.label}>${wait ? t("state.in", { what: t("ideal.paint"), n: wait }) : t("ideal.paint")}</button><${Trouble} problem=${problem} /></form>`;
}

/** @param {{now: any, title: string, certain: string}} props */
const Painting = ({ now, title, certain }) => html`<div class="grid"><div class="c7"><div class="pic">${now.preview ? html`<img class=${now.job.input.count > 1 ? "" : "sq"} src=${now.preview} alt=${t("ideal.preview", { step: now.job.progress?.step ?? 0 })} />` : html`<div class="blotwait"></div>`}
  <span class="tag l t">${t("state.step", { step: now.job.progress?.step ?? 0, steps: now.job.progress?.steps ?? "…" })}</span></div></div>
  <div class="c5 stack"><p class="say voice">${typeof now.job.progress?.score === "number" ? percent(now.job.progress.score) : "…"}</p><p class="quiet small">${certain}</p><${ScoreCurve} now=${now} label=${title} /><${Running} now=${now} label=${t("ideal.painting")} stop=${t("ideal.stop")} /><${Lost} now=${now} /></div></div>`;

/** Several pictures of one wish, each with what became of it. @param {{facets: any[], at: number, onChoose: (at: number) => void, display: (label: string) => string}} props */
const Facets = ({ facets, at, onChoose, display }) => html`<ul class="shelf facets">${facets.map((one, place) => html`<li key=${one.href}><button type="button" class="figure" aria-pressed=${place === at} aria-label=${t("ideal.facet", { n: place + 1 })} onClick=${() => onChoose(place)}>
  <img class="sq" src=${one.href} alt="" /><span class="cap">${one.success ? percent(one.png_score) : display(one.label)}</span></button></li>`)}</ul>`;

/** @param {{now: any, display: (label: string) => string}} props */
function Painted({ now, display }) {
  const { job } = now;
  const { result, input } = job;
  const [film, setFilm] = useState(false);
  const label = input.objective.label;
  const facets = result.facets ?? [{ ...result, href: result.files.final }];
  const [at, setAt] = useState(0);
  const shown = facets[at];
  const held = shown.checks.filter((one) => !one.took_part);
  const name = label ? display(label) : t("job.channel", { layer: input.objective.layer, channel: input.objective.channel });
  const seconds = (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000;
  const send = async (view) => {
    await use(await (await fetched(shown.href)).blob(), `${label ?? "channel"}.png`);
    go(view, "", { m: input.model });
  };
  return html`<div class="grid"><div class="c7">${film ? html`<${Film} href=${result.files.animation} alt=${t("film.alt", { name })} />` : html`<div class="pic"><img class="sq" src=${shown.href} alt=${t("ideal.alt", { name })} /></div>`}
    ${facets.length > 1 && html`<${Facets} facets=${facets} at=${at} onChoose=${(to) => { setAt(to); setFilm(false); }} display=${display} />`}</div>
    <div class="c5 stack"><${Who} name=${input.model}>${t("ideal.painted", { s: Math.max(1, Math.round(seconds)), seed: input.seed, preset: t(`preset.${input.preset}`) })}<//>
    <p class="say" role="status">${label ? html`<span class="voice">${percent(shown.png_score ?? shown.score)}</span> ${name}` : name}</p>
    ${facets.length > 1 && html`<p class="small quiet">${t("ideal.alike", { n: at + 1, of: facets.length, value: plain(shown.similarity) })}</p>`}
    ${label && !shown.success && html`<${Note} title=${t("ideal.became", { name: display(shown.label) })}><p>${t("ideal.became.text")}</p><//>`}
    ${label && held.length > 0 && html`<div><h2 class="h4">${t("ideal.held")}</h2><${Bars} kind="held" items=${held.map((one) => ({ label: `${one.model}: ${display(one.label)}`, score: one.score }))} />
      <p class="small quiet">${t("ideal.agree", { n: held.filter((one) => one.agrees).length, of: held.length })}</p></div>`}
    <${ScoreCurve} now=${now} label=${name} />
    <div class="row"><button type="button" class="btn" aria-pressed=${film} onClick=${() => setFilm(!film)}><${Icon} name=${film ? "stop" : "play"} />${t(film ? "film.still" : "film")}</button>
    <a class="btn" href=${shown.href} download="${label ?? "channel"}.png"><${Icon} name="down" />PNG</a>${result.files.sheet && html`<a class="btn" href=${result.files.sheet} download="${label ?? "channel"}-sheet.png"><${Icon} name="down" />${t("ideal.sheet")}</a>`}
    ${label && html`<button type="button" class="btn" onClick=${() => send("classify")}>${t("to.classify")} →</button><button type="button" class="btn" onClick=${() => send("fool")}>${t("to.fool")} →</button>`}</div></div></div>`;
}

/** @param {{now: any, display: (label: string) => string}} props */
const Stopped = ({ now, display }) => html`<div class="grid"><div class="c7"><div class="pic">${now.job.preview && html`<img class="sq" src=${now.job.preview} alt=${t("ideal.alt", { name: display(now.job.input.objective.label) })} />`}</div></div>
  <div class="c5 stack"><p class="say" role="status">${t("state.stopped")}</p><p class="quiet">${t("state.stopped.text")}</p></div></div>`;

const Invitation = () => html`<div class="grid"><div class="c7"><div class="pic"><img class="sq" src=${own("pictures/ideal-persian.webp")} alt=${t("ideal.example.alt")} /><span class="tag l">${t("ideal.example")}</span></div></div>
  <div class="c5 stack"><p class="say">${rich("ideal.invite")}</p><p class="quiet">${t("ideal.invite.text")}</p></div></div>`;

const Shelf = () => {
  const done = jobs.value.filter((job) => job.kind === "ideal_image" && job.status === "succeeded").slice(0, 8);
  return done.length === 0 ? null : html`<hr /><div class="stack"><h2 class="h3">${t("ideal.earlier")}</h2><div class="shelf">${done.map((job) => html`<${Earlier} key=${job.id} job=${job} />`)}</div></div>`;
};

/** @param {{job: any}} props */
function Earlier({ job }) {
  const display = useDisplay(job.input.model);
  const { label, layer, channel } = job.input.objective;
  const name = label ? display(label) : t("job.channel", { layer, channel });
  const checks = job.result.checks.filter((one) => !one.took_part);
  return html`<a class="figure" href=${link("ideal", job.id)}><img src=${job.result.files.final} alt="" loading="lazy" /><span class="cap"><b>${name}</b> ${t(`preset.${job.input.preset}`)}<br />${label ? t("ideal.agree", { n: checks.filter((one) => one.agrees).length, of: checks.length }) : job.input.model}</span></a>`;
}

export function Ideal() {
  const id = route.value.argument;
  const now = useJob(id);
  const name = model.value;
  const labels = useAnswer(() => labelsOf(name), [name, language.value]).value ?? [];
  const [wish, set] = useState(/** @type {any} */ ({ label: "", preset: "clear", steps: "", seed: "", size: 224, count: "1", diversity: "1" }));
  const change = (one) => set((old) => ({ ...old, ...one }));
  const input = now.job?.input ?? recipeOf(id)?.input;
  const display = useDisplay(input?.model ?? name);
  const wanted = labels.some((one) => one.label === wish.label) ? wish.label : (labels.find((one) => one.label === (route.value.choices.c ?? FIRST[name]))?.label ?? labels[0]?.label ?? "");
  const shown = { ...wish, label: wanted };
  useEffect(() => {
    if (input?.objective.label) set({ label: input.objective.label, preset: input.preset, steps: input.steps ?? "", seed: input.seed ?? "", size: input.size ?? 224, count: String(input.count ?? 1), diversity: String(input.diversity ?? 1) });
  }, [input?.seed, id]);
  const { job } = now;
  const title = display(input?.objective?.label ?? "");
  const again = input && (async () => go("ideal", (await paint(input)).id, route.value.choices));
  const request = input ?? { model: name, objective: { label: shown.label }, preset: shown.preset, seed: Number(shown.seed) || 0, ...severalOf(shown) };
  return html`<${Head} title=${t("ideal.title")} text=${t("ideal.text")} /><div class="grid v3 ${id ? "" : "rest"}"><div class="c3"><${Order} wish=${shown} set=${change} labels=${labels} /></div>
    <div class="c9" aria-busy=${Boolean(job && !isFinal(job))}>${!id && html`<${Invitation} />`}<${Failed} now=${now} again=${again} />
    ${job?.status === "queued" && html`<${Queued} now=${now} />`}${job?.status === "running" && html`<${Painting} now=${now} title=${title} certain=${t("ideal.certain", { name: title })} />`}
    ${job?.status === "canceled" && html`<${Stopped} now=${now} display=${display} />`}${job?.status === "succeeded" && html`<${Painted} key=${job.id} now=${now} display=${display} />`}</div></div>
    ${job?.status === "succeeded" && html`${job.input.objective.label && html`<${Pair} job=${job} display=${display} />`}<${Seeds} key=${job.id} job=${job} />`}<${Shelf} />
    <${Foot} curl=${`curl -H 'Content-Type: application/json' -H 'Prefer: wait=60' -d '${JSON.stringify(request).replaceAll("'", "'\\''")}' ${location.origin}/v1/ideal-images`} recipe=${{ kind: "ideal_image", ...request }} end=${id}
      python=${`from app.client import Client\n\nwith Client("${location.origin}") as inkblot:\n    job = inkblot.draw(model=${JSON.stringify(request.model)}, objective=${JSON.stringify(request.objective)}, preset="${request.preset}", seed=${request.seed ?? 0}${request.count > 1 ? `, count=${request.count}, diversity=${request.diversity}` : ""})\n    for event in inkblot.follow(job):\n        print(event)`} />`;
}
