// Look inside: the stages of the network, their channels, and what the answer rests on.
import { html, useState } from "../html.js";
import { address, ask, askJson } from "../api.js";
import { Trouble, Waiting, useAnswer, useNear, useUrl } from "../asking.js";
import { useClassification } from "../classification.js";
import { Tile, activations, stagesOf } from "../feature_maps.js";
import { Icon } from "../icons.js";
import { model } from "../models.js";
import { Choice, Foot, Head, Pick, Switch, quoted } from "../parts.js";
import { picture } from "../picture.js";
import { Dock } from "../picture_tools.js";
import { rangeOf } from "../npy.js";
import { choose, route } from "../route.js";
import { language, percent, plain, signed, t } from "../words.js";
import { Channel } from "./channel.js";

const METHODS = ["grad_cam", "integrated_gradients", "occlusion"];
const STAGES = 6;

/** @param {number} count @param {number} place */
const word = (count, place) => t(`stage.${Math.min(STAGES - 1, Math.round(1 + (place * 4) / Math.max(1, count - 1)))}`);

/** @param {{stages: any[], at: number, shown: any, found: any}} props */
const Strip = ({ stages, at, shown, found }) => html`<div class="strip" role="group" aria-label=${t("inside.stages")} tabindex="0"><div class="end"><img src=${shown.url} alt=${t("picture.yours")} class="sq" /><p class="cap"><b>${t("inside.yours")}</b></p></div>
  ${stages.map((one, place) => html`<button key=${one.layer} type="button" class="stage d${Math.min(5, place + 1)}" aria-pressed=${place === at} onClick=${() => choose({ stage: String(place), channel: "" })}><span class="ph"><${Tile} maps=${one.maps} place=${0} /></span>
    <b>${place + 1} ${word(stages.length, place)}</b>${one.shape[1]} × ${one.shape[2]} × ${one.shape[0]}</button>`)}
  <div class="end">${found && html`<p class="say voice">${found.predictions[0].display}</p><p>${percent(found.predictions[0].score)}${found.predictions.slice(1, 3).map((one) => html`<br />${one.display} ${percent(one.score)}`)}</p>`}</div></div>`;

/** @param {{shown: any, method: string, target: string}} props */
function Heat({ shown, method, target }) {
  const name = model.value;
  const spoken = language.value;
  const { value, problem, busy } = useAnswer(async (stop) => {
    const began = performance.now();
    const answer = await ask("/v1/explanations", { method: "POST", query: { model: name, method, target, lang: spoken }, body: shown.blob, form: "image/webp", signal: stop });
    return { blob: await answer.blob(), seconds: (performance.now() - began) / 1000 };
  }, [shown, name, method, target, spoken]);
  const url = useUrl(value?.blob);
  return html`<figure class=${busy ? "busy" : ""} aria-busy=${busy}>${problem ? html`<${Trouble} problem=${problem} />` : url ? html`<img class="sq" src=${url} alt=${t("inside.heat.alt", { method: t(`method.${method}`) })} />` : html`<${Waiting} />`}
    <figcaption class="cap"><b>${t(`method.${method}`)}</b><br />${t(`method.${method}.text`)}${value ? ` · ${t("time.s", { n: plain(value.seconds) })}` : ""}</figcaption></figure>`;
}

/** @param {{shown: any, found: any}} props */
function Evidence({ shown, found }) {
  const [target, set] = useState("");
  const { place, near } = useNear();
  const first = found?.predictions ?? [];
  const wanted = first.some((one) => one.label === target) ? target : (first[0]?.label ?? "");
  return html`<div class="stack" ref=${place}><div class="row far"><h2 class="h3">${t("inside.why")}</h2><div class="row small"><span>${t("inside.for")}</span><${Pick} bare label=${t("heat.target")} value=${wanted} onChange=${set} options=${first.map((one) => [one.label, `${one.display} ${percent(one.score)}`])} /></div></div>
    ${wanted && near && html`<div class="three">${METHODS.map((method) => html`<${Heat} key=${method} shown=${shown} method=${method} target=${wanted} />`)}</div>`}</div>`;
}

/** @param {{shown: any, stage: any, title: string}} props */
function Channels({ shown, stage, title }) {
  const name = model.value;
  const spoken = language.value;
  const [order, setOrder] = useState("top");
  const [same, setSame] = useState(false);
  const channels = order === "top" ? "top:16" : `0-${Math.min(63, stage.shape[0] - 1)}`;
  const about = { model: name, layer: stage.layer, channels };
  const { value, problem, busy } = useAnswer(async (stop) => {
    const numbers = await askJson("/v1/feature-maps", { method: "POST", query: { ...about, lang: spoken }, body: shown.blob, signal: stop });
    const listed = numbers.channels.map((one) => one.channel).join(",");
    return { numbers, maps: await activations(shown.blob, { ...about, channels: listed }, stop), layer: stage.layer };
  }, [shown, spoken, ...Object.values(about)]);
  const here = value?.layer === stage.layer ? value : null;
  const at = Math.max(0, here?.numbers.channels.findIndex((one) => String(one.channel) === route.value.choices.channel) ?? 0);
  const range = same && here ? rangeOf(here.maps.values) : undefined;
  const save = async (form, file) => {
    const answer = await ask("/v1/feature-maps", { method: "POST", query: { ...about, caption: form === "image/png" ? true : undefined, lang: spoken }, body: shown.blob, form });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = file;
    link.click();
    URL.revokeObjectURL(link.href);
  };
  if (problem) return html`<div class="c12"><${Trouble} problem=${problem} /></div>`;
  return html`<div class="c7 stack ${busy ? "busy" : ""}" aria-busy=${busy}><div class="row far"><h2 class="h3">${t("inside.channels", { name: title })}</h2><${Choice} label=${t("inside.order")} value=${order} onChange=${setOrder} options=${[["top", t("inside.by.effect")], ["index", t("inside.by.number")]]} /></div>
    ${here ? html`<div class="tiles" role="group" tabindex="0" aria-label=${t("inside.channels", { name: title })}>${here.numbers.channels.map((one, place) => html`<button key=${one.channel} type="button" class="tile" aria-pressed=${place === at} aria-label=${t("inside.tile", { n: one.channel, gives: signed(one.contribution) })} onClick=${() => choose({ channel: String(one.channel) })}>
      <${Tile} maps=${here.maps} place=${place} range=${range} /><span><b>${one.channel}</b><i>${signed(one.contribution)}</i></span></button>`)}</div>` : html`<div class="tiles" role="status" aria-label=${t("state.waiting")}>${Array.from({ length: 16 }, (_, at) => html`<div key=${at} class="tile"><div class="sq blotwait"></div><span> </span></div>`)}</div>`}
    <div class="row"><button type="button" class="btn" onClick=${() => save("image/png", `${stage.layer}.png`)}><${Icon} name="down" />PNG</button><button type="button" class="btn" onClick=${() => save("application/x-npy", `${stage.layer}.npy`)}><${Icon} name="down" />.npy</button>
    <${Switch} checked=${same} onChange=${setSame}>${t("inside.scale")}<//></div></div>
    <div class="c5">${here && html`<${Channel} shown=${shown} maps=${here.maps} place=${at} numbers=${here.numbers.channels[at]} seen=${here.numbers.image.seen} layer=${stage.layer} />`}</div>`;
}

export function Inside() {
  const shown = picture.value;
  const name = model.value;
  const spoken = language.value;
  const { value: found } = useClassification(name, shown, 3);
  const { value: stages, problem, busy } = useAnswer(shown && ((stop) => stagesOf(shown.blob, name, spoken, stop)), [shown, name, spoken]);
  const at = Math.min(Number(route.value.choices.stage ?? 3), (stages?.length ?? 1) - 1);
  const stage = stages?.[at];
  const file = shown?.name ?? "cat.jpg";
  const where = address(`${location.origin}/v1/feature-maps`, { model: name, layer: stage?.layer, channels: "top:16" });
  return html`<${Head} title=${t("inside.title")} text=${t("inside.text")}><${Dock} /><//><${Trouble} problem=${problem} />
    ${stages && shown ? html`<div class=${busy ? "busy" : ""}><${Strip} stages=${stages} at=${at} shown=${shown} found=${found} /><hr /><div class="grid v2"><${Channels} shown=${shown} stage=${stage} title=${stage.target.display} /></div><hr /><${Evidence} shown=${shown} found=${found} /></div>` : !problem && html`<${Waiting} />`}
    ${(stages || problem) && html`<${Foot} curl=${`curl --data-binary @${quoted(file)} ${quoted(where)} -o maps.png`} recipe=${{ kind: "feature_maps", model: name, layer: stage?.layer, channels: "top:16" }} end=${stage?.layer}
      python=${`from pathlib import Path\nfrom app.client import Client\n\nwith Client("${location.origin}") as inkblot:\n    png = inkblot.look_drawn(Path("${file}").read_bytes(), model="${name}", layer="${stage?.layer ?? ""}", channels="top:16")\nPath("maps.png").write_bytes(png)`} />`}`;
}
