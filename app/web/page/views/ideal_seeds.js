// The same wish from other noise: what changes is chance, what stays is what the network means.
import { html } from "../html.js";
import { Trouble } from "../asking.js";
import { Blot } from "../blot.js";
import { stateOf } from "../drawer.js";
import { useOrder } from "../job_view.js";
import { jobs } from "../jobs.js";
import { paint } from "../orders.js";
import { link } from "../route.js";
import { inOrder, percent, t } from "../words.js";

const MORE = 3;

/** @param {any} a @param {any} b */
const sameWish = (a, b) => ["model", "preset", "size", "steps", "count", "diversity"].every((key) => a[key] === b[key]) && JSON.stringify(a.objective) === JSON.stringify(b.objective);

/** @param {{job: any, here: boolean}} props */
const Sheet = ({ job, here }) => {
  const image = job.result?.files.final ?? job.preview;
  return html`<a class="figure" href=${link("ideal", job.id)} aria-current=${here ? "true" : undefined}>${image ? html`<img src=${image} alt="" />` : html`<span class="blotwait"><${Blot} name=${job.id} /></span>`}
    <span class="cap"><b>${t("ideal.seed.of", { n: job.input.seed })}</b><br />${job.result ? percent(job.result.png_score ?? job.result.score) : stateOf(job)}</span></a>`;
};

/** @param {{job: any}} props */
export function Seeds({ job }) {
  const { busy, problem, wait, give } = useOrder();
  const found = jobs.value.filter((one) => one.kind === "ideal_image" && !["failed", "canceled"].includes(one.status) && sameWish(one.input, job.input));
  const bySeed = new Map([...found, job].map((one) => [one.input.seed, one])); // the same seed makes the same picture
  const all = [...bySeed.values()].sort((a, b) => inOrder(String(a.input.seed), String(b.input.seed)));
  const start = () => {
    const last = Math.max(...all.map((one) => one.input.seed));
    const wanted = Array.from({ length: MORE }, (_, at) => last + 1 + at);
    give(async () => { // what is taken already is not asked for again when the queue was full
      for (; wanted.length > 0; wanted.shift()) await paint({ ...job.input, seed: wanted[0] });
    });
  };
  return html`<hr /><div class="stack"><div class="row far"><h2 class="h3">${t("ideal.seeds")}</h2><button type="button" class="btn" disabled=${busy || wait > 0} onClick=${start}>${wait ? t("state.in", { what: t("ideal.seeds.more", { n: MORE }), n: wait }) : t("ideal.seeds.more", { n: MORE })}</button></div>
    <p class="quiet">${t("ideal.seeds.text")}</p><${Trouble} problem=${problem} />${all.length > 1 && html`<div class="shelf">${all.map((one) => html`<${Sheet} key=${one.id} job=${one} here=${one.id === job.id} />`)}</div>`}</div>`;
}
