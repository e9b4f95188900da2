// Classify: what the picture is, how familiar it is, why, and what other networks say.
import { html, useState } from "../html.js";
import { ask, askJson } from "../api.js";
import { Trouble, Waiting, useAnswer, useUrl } from "../asking.js";
import { useClassification } from "../classification.js";
import { model, models } from "../models.js";
import { Answers, Foot, Head, Pick, Switch, Who, quoted } from "../parts.js";
import { many, picture } from "../picture.js";
import { PictureTools, Samples } from "../picture_tools.js";
import { link } from "../route.js";
import { article, language, percent, plain, rich, t } from "../words.js";
import { Many } from "./many.js";

const UNKNOWN_FROM = 0.5;
const METHODS = ["grad_cam", "integrated_gradients", "occlusion"];

/** The sentence; who only knows a few words says so when none fits. @param {{found: any}} props */
export function Sentence({ found }) {
  const [first] = found.predictions;
  const few = found.model.num_classes <= 4;
  if (!found.unknown?.is_unknown) return html`<p class="say" role="status">${rich("classify.is", { a: article(first.display), name: html`<span class="voice">${first.display}</span>` })}</p>`;
  const names = new Intl.ListFormat(language.value).format(found.predictions.map((one) => one.display));
  return html`<div class="stack"><p class="say" role="status">${few ? rich("classify.unknown.few", { names }) : rich("classify.unknown")}</p>
    <p class="quiet">${t("classify.must", { name: first.display, score: percent(first.score) })}</p></div>`;
}

/** @param {{score: number}} props */
const Familiar = ({ score }) => html`<div class="familiar"><span class="lab">${t("classify.familiar")}</span>
  <svg role="img" aria-label=${t("classify.familiar.alt", { score: plain(score), threshold: plain(UNKNOWN_FROM) })}><rect x="0" y="16" width="50%" height="4" fill="var(--edge)" />
  <rect x="50%" y="14" width="50%" height="8" fill="url(#hatch)" /><rect x="50%" y="6" width="2" height="24" fill="var(--ink)" />
  <circle cx="${2 + score * 96}%" cy="18" r="8" fill="var(--voice)" stroke="var(--paper)" stroke-width="3" /></svg>
  <div class="ends"><span>${t("classify.known")}</span><span>${t("classify.strange")}</span></div></div>`;

/** @param {{shown: import("../picture.js").Picture, found: any}} props */
function Photo({ shown, found }) {
  const [why, setWhy] = useState(false);
  const [method, setMethod] = useState("grad_cam");
  const [target, setTarget] = useState("");
  const [opacity, setOpacity] = useState(74);
  const about = { model: model.value, method, target: found?.predictions.some((one) => one.label === target) ? target : "", lang: language.value };
  const heat = useAnswer(why && found ? async (stop) => {
    const request = { method: "POST", body: shown.blob, signal: stop };
    const [drawn, numbers] = await Promise.all([ask("/v1/explanations", { ...request, query: { ...about, view: "heat_map" }, form: "image/webp" }), askJson("/v1/explanations", { ...request, query: about })]);
    return { blob: await drawn.blob(), where: numbers.focus_text };
  } : null, [why, shown, Boolean(found), ...Object.values(about)]);
  const url = useUrl(why ? heat.value?.blob : null);
  return html`<div class="pic ${why && heat.busy ? "busy" : ""}"><img src=${shown.url} alt=${found ? t("picture.alt", { name: found.predictions[0].display }) : t("picture.yours")} class="sq" />
      ${url && html`<img src=${url} class="over sq" style=${{ opacity: opacity / 100 }} alt=${t("heat.alt", { where: heat.value?.where })} />`}
      <${Switch} kind="onpic" checked=${why} onChange=${setWhy}>${t("classify.why")}<//></div>
    ${why && html`<div class="heat stack-s"><${Trouble} problem=${heat.problem} /><div class="two"><${Pick} label=${t("heat.method")} value=${method} onChange=${setMethod} options=${METHODS.map((name) => [name, t(`method.${name}`)])} />
      <${Pick} label=${t("heat.target")} value=${about.target} onChange=${setTarget} options=${[["", t("heat.likeliest")], ...(found?.predictions ?? []).map((one) => [one.label, one.display])]} /></div>
      <label class="field"><span>${t("heat.opacity")}</span><input type="range" min="0" max="100" value=${opacity} onInput=${(event) => setOpacity(Number(event.target.value))} /></label></div>`}`;
}

/** @param {{name: string, shown: import("../picture.js").Picture}} props */
function Other({ name, shown }) {
  const { value, problem } = useClassification(name, shown, 3);
  const card = models.value.find((one) => one.name === name);
  return html`<div class="stack-s"><${Who} name=${name}>· ${t("model.classes", { n: card?.num_classes ?? "" })}<//>
    <${Trouble} problem=${problem} />${value && html`<${Answers} predictions=${value.predictions} count=${3} kind=${value.unknown?.is_unknown ? "doubt" : ""} />
    ${value.unknown?.is_unknown && html`<p class="small quiet">${t("classify.unknown.short")}</p>`}`}</div>`;
}

/** @param {{shown: import("../picture.js").Picture}} props */
function Others({ shown }) {
  const [chosen, setChosen] = useState(/** @type {string[] | null} */ (null));
  const [choosing, setChoosing] = useState(false);
  const possible = models.value.map((one) => one.name).filter((name) => name !== model.value);
  const names = (chosen ?? possible.slice(0, 2)).filter((name) => possible.includes(name)).slice(0, 2);
  const toggle = (name) => setChosen(names.includes(name) ? names.filter((one) => one !== name) : [...names.slice(-1), name]);
  return html`<div class="row far"><h3>${t("classify.others")}</h3>${possible.length > 2 && html`<button type="button" class="btn bare" aria-expanded=${choosing} onClick=${() => setChoosing(!choosing)}>${t("classify.others.choose")}</button>`}</div>
    ${choosing && html`<div class="chips">${possible.map((name) => html`<label class="chip" key=${name}><input type="checkbox" checked=${names.includes(name)} onChange=${() => toggle(name)} />${name}</label>`)}</div>`}
    <div class="two">${names.map((name) => html`<${Other} key=${name} name=${name} shown=${shown} />`)}</div>`;
}

/** @param {{found: any, shown: import("../picture.js").Picture}} props */
const Result = ({ found, shown }) => html`<div class="stack"><${Who} name=${found.model.name}>${t("classify.says")}<//><${Sentence} found=${found} />
  <${Answers} predictions=${found.predictions} kind="big ${found.unknown?.is_unknown ? "doubt" : ""}" />${found.unknown && html`<${Familiar} score=${found.unknown.score} />`}<hr /><${Others} shown=${shown} /><hr />
  <div class="row"><a class="btn" href=${link("inside", "", { p: shown.id, m: found.model.name })}>${t("to.inside")} →</a><a class="btn" href=${link("fool", "", { p: shown.id, m: found.model.name })}>${t("to.fool")} →</a></div></div>`;

export function Classify() {
  const shown = picture.value;
  const name = model.value;
  const { value: found, busy, problem } = useClassification(name, many.value.length > 1 ? null : shown);
  if (many.value.length > 1) return html`<${Many} files=${many.value} />`;
  const where = `${location.origin}/v1/classify?model=${name}`;
  const file = shown?.name ?? "cat.jpg";
  return html`<${Head} title=${t("classify.title")} text=${t("classify.text")} /><div class="grid v1"><div class="c6"><div class="hero-pic">
    ${shown ? html`<${Photo} key=${shown.id} shown=${shown} found=${problem ? null : found} />` : html`<${Waiting} />`}<${Samples} /><${PictureTools} live=${name} /></div></div>
    <div class="c6 ${busy ? "busy" : ""}" aria-busy=${busy}>${problem ? html`<${Trouble} problem=${problem} />` : found && html`<${Result} found=${found} shown=${shown} />`}
    ${(found || problem) && html`<${Foot} curl=${`curl --data-binary @${quoted(file)} ${quoted(where)}`} recipe=${{ kind: "classification", model: found?.model, image: found?.image }} end=${found && t("time.ms", { n: plain(found.timing_ms.total) })}
      python=${`from pathlib import Path\nfrom app.client import Client\n\nwith Client("${location.origin}") as inkblot:\n    print(inkblot.classify([Path("${file}").read_bytes()], model="${name}"))`} />`}</div></div>`;
}
