// What became of it: before, the change, after; how it looks closely, what it survives, whom else it fools.
import { html, useState } from "../html.js";
import { askJson, fetched } from "../api.js";
import { Trouble, useAnswer, useUrl } from "../asking.js";
import { useDisplay } from "../display.js";
import { Icon } from "../icons.js";
import { ScoreCurve } from "../job_view.js";
import { AMPLIFIED, withNoise } from "../noise.js";
import { Answers, Choice, Compare, Flip } from "../parts.js";
import { use } from "../picture.js";
import { go } from "../route.js";
import { language, percent, plain, rich, t } from "../words.js";

/** @param {any} job @param {string} role */
const fileOf = async (job, role) => (await fetched(job.result.files[role])).blob();

/** @param {any} job @param {string} role @param {string} spoken @param {number} [time] nothing is asked at 0 */
const useSaid = (job, role, spoken, time = 1) => useAnswer(time ? async (stop) => askJson("/v1/classify", { method: "POST", query: { model: job.input.model, lang: spoken, top_k: 3 }, body: await fileOf(job, role), signal: stop }) : null, [job.id, role, spoken, time]);

/** @param {{job: any, display: (label: string) => string}} props */
function Sum({ job, display }) {
  const { before, after, perturbation: change, files, steps_to_success: steps } = job.result;
  return html`<div class="sum"><figure><img src=${files.original} alt=${t("fool.before.alt")} /><figcaption class="cap"><strong>${display(before.label)}, ${percent(before.score)}</strong>${t("fool.yours")}</figcaption></figure>
    <span class="op" aria-hidden="true">+</span><figure class="mid"><img src=${files.perturbation} alt=${t("fool.change.alt", { k: change.amplified })} /><figcaption class="cap"><strong>${t("fool.change", { k: change.amplified })}</strong>${job.result.patch ? t("fool.patch.text", { share: percent(job.result.patch.share) }) : t("fool.change.text", { n: change.linf })}</figcaption></figure>
    <span class="op" aria-hidden="true">=</span><figure><img src=${files.adversarial} alt=${t("fool.after.alt", { name: display(after.label) })} /><figcaption class="cap" role="status"><strong class=${job.result.success ? "voice" : ""}>${display(after.label)}, ${percent(after.score)}</strong>${steps ? t("fool.found", { n: steps }) : t("fool.notfound")}</figcaption></figure></div>`;
}

/** @param {{job: any, display: (label: string) => string}} props */
function Closely({ job, display }) {
  const [how, set] = useState("slide");
  const { files, before, after } = job.result;
  const both = { before: files.original, after: files.adversarial, alt: t("fool.before.alt"), altAfter: t("fool.after.alt", { name: display(after.label) }), left: t("fool.left", { name: display(before.label) }), right: t("fool.right", { name: display(after.label) }) };
  return html`<div class="row far"><h2 class="h3">${t("fool.closely")}</h2><${Choice} label=${t("fool.closely")} value=${how} onChange=${set} options=${["slide", "flip", "zoom"].map((key) => [key, t(`fool.${key}`)])} /></div>
    ${how === "flip" ? html`<${Flip} ...${both} label=${t("flip.label")} />` : html`<${Compare} ...${both} kind=${how === "zoom" ? "zoom pixel" : ""} label=${t("fool.compare")} />`}<p class="cap">${rich("fool.space")}</p>`;
}

/** @param {{job: any}} props */
function Again({ job }) {
  const [asked, set] = useState(0);
  const { value, problem } = useSaid(job, "adversarial", language.value, asked);
  const upload = async () => {
    await use(await fileOf(job, "adversarial"), "adversarial.png");
    go("classify", "", { m: job.input.model });
  };
  return html`<div class="row"><a class="btn" href=${job.result.files.adversarial} download="adversarial.png"><${Icon} name="down" />${t("fool.download")}</a><button type="button" class="btn" onClick=${() => set(asked + 1)}><${Icon} name="up" />${t("fool.again")}</button>
    <button type="button" class="btn bare" onClick=${upload}>${t("to.classify")} →</button></div><${Trouble} problem=${problem} />
    ${value && html`<p class="again" role="status">${rich("fool.again.says", { name: html`<b class="voice">${value.predictions[0].display}</b>`, score: percent(value.predictions[0].score) })}</p>`}`;
}

/** @param {{models: any[], display: (label: string) => string}} props */
const Together = ({ models, display }) => html`<ul class="proof">${models.map((one) => {
  const ways = Object.values(one.verified);
  return html`<li key=${one.model} class=${one.fooled ? "" : "none"}><${Icon} name=${one.fooled ? "check" : "cross"} /><span>${one.model}: ${display(one.label)}, ${percent(one.score)}</span><span class="pc">${t("fool.ways", { n: ways.filter(Boolean).length, of: ways.length })}</span></li>`;
})}</ul>`;

/** @param {{job: any, display: (label: string) => string}} props */
function Proof({ job, display }) {
  const { verified, before, after } = job.result;
  return html`<h2 class="h3">${t("fool.proof")}</h2><ul class="ways chips">${Object.entries(verified).map(([way, holds]) => html`<li key=${way} class="chip ${holds ? "" : "no"}"><${Icon} name=${holds ? "check" : "cross"} />${t(`way.${way}`)}<span class=${holds ? "voice" : "quiet"}>${display(holds ? after.label : before.label)}</span></li>`)}</ul>
    ${job.result.models?.length > 1 && html`<${Together} models=${job.result.models} display=${display} />`}<p class="small quiet">${t("fool.measured")}</p><${Again} job=${job} />`;
}

const MOST_NOISE = 64;

/** Noise of one's own choosing on the same picture, which the network is asked about. @param {any} job @param {number} levels */
function useNoise(job, levels) {
  const spoken = language.value;
  return useAnswer(async (stop) => {
    const made = await withNoise(await fileOf(job, "original"), levels);
    const said = await askJson("/v1/classify", { method: "POST", query: { model: job.input.model, lang: spoken, top_k: 1 }, body: made.noisy, signal: stop });
    return { ...made, said: said.predictions[0], levels };
  }, [job.id, levels, spoken]);
}

/** @param {{job: any, display: (label: string) => string}} props */
function Control({ job, display }) {
  const { control: { noise }, before, after, perturbation } = job.result;
  const same = Math.max(1, Number.parseInt(perturbation.linf, 10));
  const [levels, set] = useState(same);
  const { value, problem, busy } = useNoise(job, levels);
  const url = useUrl(value?.noise);
  const fooled = value && value.said.label !== before.label;
  return html`<h2 class="h3">${t("fool.noise")}</h2><div class="two"><figure><img class="pixel sq" src=${job.result.files.perturbation} alt=${t("fool.change.alt", { k: perturbation.amplified })} /><figcaption class="cap">${t("fool.noise.change", { n: perturbation.linf })} <b class="voice">${display(after.label)}</b></figcaption></figure>
    <figure aria-busy=${busy}>${url ? html`<img class="pixel sq" src=${url} alt=${t("fool.noise.alt", { k: AMPLIFIED })} />` : html`<div class="blotwait"></div>`}<figcaption class="cap" role="status">${value && html`${t("fool.noise.random", { n: `${value.levels}/255` })} <b class=${fooled ? "voice" : ""}>${value.said.display}, ${percent(value.said.score)}</b>`}</figcaption></figure></div>
    <label class="field"><span>${t("fool.noise.more", { n: levels })}</span><input type="range" min="1" max=${MOST_NOISE} value=${levels} onChange=${(event) => set(Number(event.target.value))} /></label><${Trouble} problem=${problem} />
    <p>${noise.fooled ? rich("fool.noise.yes", { n: noise.linf }) : rich("fool.noise.no", { n: noise.linf, name: html`<b>${display(before.label)}</b>` })}</p>`;
}

/** A network calls things by its own words. @param {{one: any}} props */
function Other({ one }) {
  const display = useDisplay(one.model);
  return html`<li class=${one.fooled ? "" : "none"}><${Icon} name=${one.fooled ? "check" : "cross"} /><span>${one.model.replace("efficientnet_lite", "Lite")}<span class="vh"> ${t(one.fooled ? "fool.is" : "fool.isnot")}</span></span><span class="pc">${display(one.label)}, ${percent(one.score)}</span></li>`;
}

/** @param {{job: any}} props */
const Elsewhere = ({ job }) => html`<section class="stack-s"><h2 class="h3">${t("fool.transfer")}</h2>${job.result.transfer.length === 0 ? html`<p class="quiet">${t("fool.transfer.none")}</p>` : html`<ul class="proof">${job.result.transfer.map((one) => html`<${Other} key=${one.model} one=${one} />`)}</ul>`}</section>`;

/** What there is to print. @param {{job: any}} props */
const Sticker = ({ job }) => html`<h2 class="h3">${t("fool.patch")}</h2><div class="two"><img class="sq" src=${job.result.files.patch} alt=${t("fool.patch.alt")} />
  <div class="stack-s"><p>${rich("fool.patch.says", { n: html`<b class="voice">${job.result.patch.fooled}</b>`, of: job.result.patch.places })}</p><a class="btn" href=${job.result.files.patch} download="patch.png"><${Icon} name="down" />${t("fool.patch.print")}</a></div></div>`;

/** The steps at which the score was measured anew, and the end. @param {import("../jobs.js").Watched["curve"]} curve @param {any} result */
function measured(curve, { steps_to_success: steps, after }) {
  const anew = curve.filter((one, at) => one.score !== curve[at - 1]?.score && one.step !== steps);
  return steps ? [...anew, { step: steps, score: after.score, loss: 0 }] : anew;
}

/** @param {{now: any, display: (label: string) => string, least: () => void}} props */
export function Fooled({ now, display, least }) {
  const { job } = now;
  const spoken = language.value;
  const before = useSaid(job, "original", spoken);
  const after = useSaid(job, "adversarial", spoken);
  const { perturbation: change } = job.result;
  return html`<${Sum} job=${job} display=${display} /><hr /><div class="grid"><div class="c6 stack"><${Closely} job=${job} display=${display} /></div>
    <div class="c6 stack"><${Proof} job=${job} display=${display} /><hr />${job.result.patch ? html`<${Sticker} job=${job} />` : html`<${Control} job=${job} display=${display} />`}</div></div>
    <hr /><div class="two"><div><h2 class="h4">${t("fool.left.short")}</h2>${before.value && html`<${Answers} predictions=${before.value.predictions} kind="held" />`}</div><div><h2 class="h4">${job.result.patch ? t("fool.right.patch") : t("fool.right.short", { n: change.linf })}</h2>${after.value && html`<${Answers} predictions=${after.value.predictions} />`}</div></div>
    <hr /><div class="three"><${Elsewhere} job=${job} /><section class="stack-s"><h2 class="h3">${t("fool.little")}</h2><p>${job.input.method === "minimal" ? t("fool.little.is", { n: change.linf, l2: plain(change.l2) }) : t("fool.little.text")}</p>
    ${job.input.method !== "minimal" && html`<button type="button" class="btn" onClick=${least}>${t("fool.little.do")}</button>`}</section>
    <section class="stack-s"><h2 class="h3">${t("fool.way")}</h2><${ScoreCurve} now=${{ ...now, curve: measured(now.curve, job.result) }} label=${display(job.input.target ?? job.result.after.label)} /><dl class="fact"><dt>${t("fool.steps")}</dt><dd>${job.result.steps_to_success ?? "–"}</dd><dt>L2</dt><dd>${plain(change.l2)}</dd><dt>SSIM</dt><dd>${plain(change.ssim)}</dd></dl></section></div>`;
}
