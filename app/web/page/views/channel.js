// One channel: over the photo, in numbers, and what it looks for.
import { html, useState } from "../html.js";
import { Trouble } from "../asking.js";
import { Tile } from "../feature_maps.js";
import { Failed, Running, useJob, useOrder } from "../job_view.js";
import { isFinal, jobs } from "../jobs.js";
import { model } from "../models.js";
import { paint } from "../orders.js";
import { Choice } from "../parts.js";
import { link } from "../route.js";
import { exactPercent, plain, signed, t } from "../words.js";
import { Excites } from "./excites.js";

/** The painting of this channel, if there is one already, or is being made. @param {string} name @param {string} layer @param {number} channel */
const paintingOf = (name, layer, channel) => jobs.value.find((job) => job.kind === "ideal_image" && job.input.model === name && job.input.objective.layer === layer && job.input.objective.channel === channel && job.status !== "failed" && job.status !== "canceled");

/** @param {{layer: string, channel: number}} props */
function Painting({ layer, channel }) {
  const { busy, problem, give } = useOrder();
  const name = model.value;
  const job = paintingOf(name, layer, channel);
  const now = useJob(job && !isFinal(job) ? job.id : "");
  const image = job?.result?.files.final ?? now.preview ?? "";
  const start = () => give(async () => { await paint({ model: name, objective: { layer, channel }, preset: "quick", size: 224 }); });
  if (!job) return html`<div class="stack-s"><button type="button" class="btn main" disabled=${busy} onClick=${start}>${t("channel.what", { n: channel })}</button><p class="cap">${t("channel.takes")}</p><${Trouble} problem=${problem} /></div>`;
  return html`<div class="stack-s"><h3 class="h4">${t("channel.what", { n: channel })}</h3>${image ? html`<img src=${image} alt=${t("channel.alt", { n: channel })} />` : html`<div class="blotwait"></div>`}<p class="small quiet">${t("channel.text")}</p>
    ${now.job && !isFinal(now.job) && html`<${Running} now=${now} label=${t("ideal.painting")} stop=${t("state.stop")} />`}<${Failed} now=${now} />
    ${job.status === "succeeded" && html`<a class="btn bare" href=${link("ideal", job.id)}>${t("channel.larger")} →</a>`}</div>`;
}

/** @param {{shown: any, maps: any, place: number, numbers: any, seen: any, layer: string}} props */
export function Channel({ shown, maps, place, numbers, seen, layer }) {
  const [look, setLook] = useState("spot");
  const [opacity, setOpacity] = useState(90);
  const cut = { width: `${100 / seen.width}%`, height: `${100 / seen.height}%`, left: `${(-100 * seen.x) / seen.width}%`, top: `${(-100 * seen.y) / seen.height}%` };
  const facts = [["gives", signed(numbers.contribution)], ["mean", plain(numbers.mean)], ["max", plain(numbers.max)], ["active", exactPercent(numbers.active_fraction)]];
  return html`<div class="channel stack"><div class="pic sq ${look}"><img class="cut" src=${shown.url} alt=${t("picture.yours")} style=${cut} /><div class="over" style=${{ opacity: opacity / 100 }}><${Tile} maps=${maps} place=${place} light=${look !== "tint"} kind=${look === "smooth" ? "smooth" : ""} label=${t("channel.over", { n: numbers.channel })} /></div></div>
    <${Choice} label=${t("channel.look")} kind="full" value=${look} onChange=${setLook} options=${["spot", "tint", "smooth"].map((key) => [key, t(`channel.${key}`)])} />
    <label class="field"><span>${t("channel.mix", { n: numbers.channel })}</span><input type="range" min="0" max="100" value=${opacity} onInput=${(event) => setOpacity(Number(event.target.value))} /></label>
    <dl class="fact">${facts.map(([key, value]) => html`<dt>${t(`channel.${key}`)}</dt><dd>${value}</dd>`)}</dl>
    <div class="two"><${Painting} key=${`${layer} ${numbers.channel}`} layer=${layer} channel=${numbers.channel} /><${Excites} model=${model.value} layer=${layer} channel=${numbers.channel} seen=${seen} /></div></div>`;
}
