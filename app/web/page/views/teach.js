// Teach: classes as columns, a new head in a second, and an honest account of how good it is.
import { html, useState } from "../html.js";
import { ANIMALS, animals, portrait } from "../animals.js";
import { ask, askJson } from "../api.js";
import { Trouble, useAnswer } from "../asking.js";
import { cameraOpen } from "../camera_open.js";
import { addClass, addPictures, archive, changeClass, classes, filesOf, removeClass, take } from "../classroom.js";
import { Icon } from "../icons.js";
import { Failed, Lost, Queued, Running, useJob, useOrder } from "../job_view.js";
import { isFinal, submit } from "../jobs.js";
import { models, refreshModels } from "../models.js";
import { teach } from "../orders.js";
import { Foot, Head, Pick, Switch } from "../parts.js";
import { go, link, route } from "../route.js";
import { exactPercent, t, whole } from "../words.js";
import { LearningCurve } from "./learning_curve.js";
import { Report } from "./report.js";

const LEAST = 2;
const GOOD = 5;

/** @param {{one: import("../classroom.js").Class}} props */
function Column({ one }) {
  const drop = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    await addPictures(one.id, (await filesOf(event.dataTransfer)).map(({ file }) => file));
  };
  const warnings = [one.broken && t("teach.broken", { n: one.broken }), one.copies && t("teach.copies", { n: one.copies }), one.pictures.length > 0 && one.pictures.length < GOOD && t("teach.few", { n: GOOD })].filter(Boolean);
  return html`<article class="class" onDragOver=${(event) => event.preventDefault()} onDrop=${drop}><header><input type="text" class="name" aria-label=${t("teach.class.name")} value=${one.label} onInput=${(event) => changeClass(one.id, () => ({ label: event.target.value }))} /><span class="small quiet">${whole(one.pictures.length)}</span></header>
    <div class="thumbs">${one.pictures.slice(-6).map((picture) => html`<img key=${picture.url} src=${picture.url} alt="" />`)}</div>
    <div class="row"><label class="icon file" title=${t("teach.add", { name: one.label })}><${Icon} name="plus" /><span class="vh">${t("teach.add", { name: one.label })}</span><input type="file" class="vh" multiple accept="image/*" onChange=${(event) => addPictures(one.id, [...event.target.files])} /></label>
    <button type="button" class="icon" aria-label=${t("teach.camera", { name: one.label })} onClick=${() => { cameraOpen.value = { burst: true, take: (blob, name) => addPictures(one.id, [new File([blob], name)]) }; }}><${Icon} name="cam" /></button>
    <button type="button" class="icon" aria-label=${t("teach.remove", { name: one.label })} onClick=${() => removeClass(one.id)}><${Icon} name="trash" /></button></div>
    ${warnings.map((text) => html`<p class="small row" key=${text}><${Icon} name="info" /><span>${text}</span></p>`)}</article>`;
}

function Columns() {
  const drop = async (event) => {
    event.preventDefault();
    await take(await filesOf(event.dataTransfer), t("teach.class", { n: classes.value.length + 1 }));
  };
  const example = async () => take((await animals()).map(({ label, name, blob }) => ({ folder: label, file: new File([blob], name) })), "");
  const folder = async (event) => take([...event.target.files].map((file) => ({ folder: file.webkitRelativePath.split("/").at(-2) ?? "", file })), t("teach.class", { n: classes.value.length + 1 }));
  return html`<div class="classes" tabindex="0" role="group" aria-label=${t("teach.classes")} onDragOver=${(event) => event.preventDefault()} onDrop=${drop}>${classes.value.map((one) => html`<${Column} key=${one.id} one=${one} />`)}
    <div class="class add"><button type="button" class="btn" onClick=${() => addClass(t("teach.class", { n: classes.value.length + 1 }))}><${Icon} name="plus" />${t("teach.new")}</button>
    <label class="btn file"><${Icon} name="file" />${t("teach.folder")}<input type="file" class="vh" webkitdirectory multiple onChange=${folder} /></label>
    <label class="btn file">${t("teach.zip")}<input type="file" class="vh" accept=".zip" onChange=${(event) => { archive.value = event.target.files[0] ?? null; }} /></label><p class="small quiet">${t("teach.drop")}</p>
    ${classes.value.length === 0 && html`<button type="button" class="btn bare" onClick=${example}>${ANIMALS.map((name) => html`<img key=${name} src=${portrait(name, 1)} alt="" />`)}<span>${t("teach.example")}</span></button>`}</div></div>
    ${archive.value && html`<p class="note"><${Icon} name="file" /><span>${archive.value.name} <button type="button" class="btn bare" onClick=${() => { archive.value = null; }}>${t("teach.zip.away")}</button></span></p>`}`;
}

/** The name as the service takes it: small letters without accents. @param {string} text */
const plainName = (text) => text.toLocaleLowerCase("en").replaceAll("ı", "i").normalize("NFKD").replace(/\p{M}/gu, "").replace(/[^a-z0-9_-]+/g, "-").replace(/^[-_]+/, "").slice(0, 64);

function Order() {
  const { busy, problem, wait, give } = useOrder();
  const [name, setName] = useState("");
  const [backbone, setBackbone] = useState("efficientnet_lite0");
  const [tune, setTune] = useState(false);
  const backbones = useAnswer((stop) => askJson("/v1/backbones", { signal: stop }), []).value?.data.filter((one) => one.available) ?? [];
  const full = classes.value.filter((one) => one.pictures.length >= LEAST && one.label.trim());
  const wanted = plainName(name) || t("teach.name.usual");
  const old = models.value.find((one) => one.name === wanted);
  const ready = archive.value || full.length >= 2;
  const start = (event) => {
    event.preventDefault();
    const query = { name: wanted, backbone, mode: tune ? "fine_tune" : "linear_probe", replace: old?.is_trained };
    give(async () => {
      const job = archive.value ? await submit("/v1/models", { query, body: archive.value }) : await teach(query, full.flatMap((one) => one.pictures.map((picture) => ({ ...picture, label: one.label.trim() }))));
      go("teach", job.id);
    });
  };
  return html`<form class="trainbar" onSubmit=${start}><label class="field"><span>${t("teach.name")}</span><input type="text" value=${name} placeholder=${t("teach.name.usual")} maxlength="64" onInput=${(event) => setName(event.target.value)} /></label>
    <${Pick} label=${t("teach.from")} value=${backbone} onChange=${setBackbone} options=${backbones.map((one) => [one.name, one.name])} /><${Switch} checked=${tune} onChange=${setTune}>${t("teach.tune")}<//>
    <button class="btn main" disabled=${busy || wait > 0 || !ready}>${wait ? t("state.in", { what: t("teach.do"), n: wait }) : t("teach.do")}</button></form>
    <p class="small quiet">${ready ? (old ? t(old.is_trained ? "teach.version" : "teach.taken", { name: wanted, n: old.version + 1 }) : t("teach.ready", { name: wanted })) : t("teach.least")}</p><${Trouble} problem=${problem} />`;
}

function Mine() {
  const mine = models.value.filter((one) => one.is_trained);
  const [problem, setProblem] = useState(/** @type {unknown} */ (null));
  const [sure, setSure] = useState("");
  const away = async (name) => {
    if (sure !== name) return setSure(name);
    try {
      await ask(`/v1/models/${name}`, { method: "DELETE" });
      await refreshModels();
    } catch (error) {
      setProblem(error);
    }
    return setSure("");
  };
  return mine.length === 0 ? null : html`<hr /><div class="stack"><h2 class="h3">${t("teach.mine")}</h2><${Trouble} problem=${problem} /><ul class="mine">${mine.map((one) => html`<li key=${one.name}><b>${one.name}</b><span class="small quiet">${t("model.classes", { n: one.num_classes })}${one.metrics.accuracy ? ` · ${exactPercent(one.metrics.accuracy)}` : ""}</span>
    <a class="btn bare" href=${link("classify", "", { m: one.name })}>${t("teach.try")} →</a><a class="btn bare" href="/v1/models/${one.name}/export" download>${t("teach.bundle.short")}</a><button type="button" class="btn bare" onClick=${() => away(one.name)}>${sure === one.name ? t("teach.sure") : t("teach.delete")}</button></li>`)}</ul></div>`;
}

export function Teach() {
  const id = route.value.argument;
  const now = useJob(id);
  const { job } = now;
  const course = html`<div key="course" aria-busy=${Boolean(job && !isFinal(job))}><${Failed} now=${now} />
    ${job?.status === "queued" && html`<${Queued} now=${now} />`}${job?.status === "running" && html`<div class="grid"><div class="c5"><${Running} now=${now} label=${t("teach.learning")} stop=${t("state.stop")} /><${Lost} now=${now} /></div><div class="c7"><${LearningCurve} now=${now} /></div></div>`}
    ${job?.status === "canceled" && html`<p class="say" role="status">${t("state.stopped")}</p>`}${job?.status === "succeeded" && html`<${Report} key=${job.id} now=${now} />`}</div>`;
  const wish = html`<div key="wish"><${Columns} /><${Order} /></div>`;
  // Who was sent a link, or has begun anew, sees the report first.
  const parts = classes.value.length === 0 && !archive.value ? [course, html`<hr key="between" />`, wish] : [wish, html`<hr key="between" />`, course];
  return html`<${Head} title=${t("teach.title")} text=${t("teach.text")} />${id ? parts : wish}<${Mine} />
    <${Foot} curl=${`curl --data-binary @pictures.zip '${location.origin}/v1/models?name=${job?.result?.model ?? "pictures"}'`} recipe=${{ kind: "model", ...(job?.input ?? {}) }} end=${id} python=${`from pathlib import Path\nfrom app.client import Client\n\nwith Client("${location.origin}") as inkblot, Path("pictures.zip").open("rb") as archive:\n    job = inkblot.teach(archive, name="${job?.result?.model ?? "pictures"}")\n    *_, end = inkblot.follow(job)`} />`;
}
