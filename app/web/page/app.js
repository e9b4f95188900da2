// The page itself: what surrounds the views, and what holds in all of them.
import { effect, html, render, signal, useEffect, useRef } from "./html.js";
import { askJson, reachable, returns, wentAway } from "./api.js";
import { Waiting, Weather } from "./asking.js";
import { cameraOpen } from "./camera_open.js";
import { Drawer, Toast } from "./drawer.js";
import { Credits, Keys } from "./help.js";
import { Icon } from "./icons.js";
import { open } from "./jobs.js";
import { asked, key } from "./key.js";
import { Mark } from "./mark.js";
import { chooseModel, model, models } from "./models.js";
import { useFiles } from "./picture.js";
import { VIEWS, go, route, view } from "./route.js";
import { remember, remembered } from "./store.js";
import { language, speak, t } from "./words.js";

/** A view is brought when its tab is pointed at, or at last when it is shown. @type {Record<string, () => Promise<any>>} */
const BROUGHT = {
  lesson: async () => (await import("./views/lesson.js")).Lesson,
  classify: async () => (await import("./views/classify.js")).Classify,
  inside: async () => (await import("./views/inside.js")).Inside,
  ideal: async () => (await import("./views/ideal.js")).Ideal,
  fool: async () => (await import("./views/fool.js")).Fool,
  teach: async () => (await import("./views/teach.js")).Teach,
  job: async () => (await import("./views/job_link.js")).JobLink,
  camera: async () => (await import("./camera.js")).Camera,
  key: async () => (await import("./key_dialog.js")).KeyDialog,
};
const here = signal(/** @type {Record<string, any>} */ ({}));

/** @param {string} name */
async function bring(name) {
  if (here.value[name]) return;
  const View = await BROUGHT[name]();
  here.value = { ...here.value, [name]: View };
}

effect(() => {
  bring(view.value).catch(() => {
    wentAway();
    effect(() => { if (reachable.value) location.reload(); }); // a module that did not come is not asked for twice
  });
});
const WITHOUT_MODEL = new Set(["lesson", "teach", "job"]);
const LANGUAGES = /** @type {const} */ (["tr", "en"]);
const ready = signal(/** @type {any} */ (null));
const theme = signal(document.documentElement.dataset.theme ?? "");

effect(() => {
  void returns.value;
  askJson("/readyz").then((found) => { ready.value = found; }).catch(() => {});
});

function switchTheme() {
  const dark = theme.value ? theme.value === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  theme.value = dark ? "light" : "dark";
  document.documentElement.dataset.theme = theme.value;
  remember("theme", theme.value);
}

function Tabs() {
  const keys = (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const to = event.key === "Home" ? 0 : event.key === "End" ? VIEWS.length - 1 : move ? (VIEWS.indexOf(view.value) + move + VIEWS.length) % VIEWS.length : -1;
    if (to < 0) return;
    event.preventDefault();
    event.stopPropagation();
    go(VIEWS[to]);
    document.getElementById(`tab-${VIEWS[to]}`)?.focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${t("shell.views")} onKeyDown=${keys}>${VIEWS.map((name, place) => html`<button key=${name} role="tab" id="tab-${name}"
    aria-controls="view" aria-selected=${view.value === name} aria-label=${t(`tab.${name}`)} tabindex=${view.value === name || (view.value === "job" && place === 0) ? 0 : -1} onClick=${() => go(name)} onPointerEnter=${() => { bring(name).catch(() => {}); }}>
    <${Icon} name=${name} /><span class="n" aria-hidden="true">${place}</span><span class="long">${t(`tab.${name}`)}</span><span class="short">${t(`tab.${name}.short`)}</span></button>`)}</div>`;
}

function Top() {
  const count = open.value.length;
  return html`<header class="top"><div class="wrap"><a class="brand" href="#/lesson" aria-label="Inkblot"><${Mark} /><span>Inkblot</span></a><${Tabs} />
    <div class="tools">${!WITHOUT_MODEL.has(view.value) && html`<span class="pick"><select aria-label=${t("shell.model")} value=${model.value} onChange=${(event) => chooseModel(event.target.value)}>
      ${models.value.map((one) => html`<option key=${one.name} value=${one.name} selected=${one.name === model.value}>${one.name}</option>`)}</select></span>`}
    <button class="icon jobs-btn" popovertarget="jobs" aria-label=${t("shell.jobs.open", { n: count })}><${Mark} /><span class="w">${t("shell.jobs")}</span> ${count || ""}</button>
    <span class="lang" role="group" aria-label=${t("shell.language")}>${LANGUAGES.map((tag) => html`<button key=${tag} class="icon" aria-label=${tag === "tr" ? "Türkçe" : "English"} lang=${tag} aria-pressed=${language.value === tag} onClick=${() => speak(tag)}>${tag === "tr" ? "TR" : "EN"}</button>`)}</span>
    <button class="icon" aria-label=${t("shell.theme")} onClick=${switchTheme}><${Icon} name="moon" /></button></div></div></header>`;
}

const Bottom = () => html`<footer class="bottom"><div class="wrap"><span>Inkblot ${ready.value ? `${ready.value.version} · ${ready.value.device}` : ""}</span><a href="/docs/">API</a>
  <button class="lk" popovertarget="keys">${t("shell.keys")} <kbd>?</kbd></button><button class="lk" popovertarget="credits">${t("shell.credits")}</button></div></footer>`;

function Page() {
  const name = view.value;
  const panel = useRef(null);
  const first = useRef(true);
  const View = here.value[name] ?? Waiting;
  useEffect(() => {
    document.title = `${name === "job" ? t("shell.jobs") : t(`tab.${name}`)} · Inkblot`;
  }, [name, language.value]);
  useEffect(() => {
    if (!first.current && !route.value.argument) scrollTo(0, 0);
    first.current = false;
  }, [name]);
  return html`<svg class="vh" aria-hidden="true" width="0" height="0"><defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="2" height="6" fill="var(--ink-2)" /></pattern></defs></svg>
    <a class="skip" href="#view" onClick=${(event) => { event.preventDefault(); panel.current.focus(); }}>${t("shell.skip")}</a><${Top} />
    <main class="wrap" id="main"><${Weather} /><section id="view" class="view of-${name}" role="tabpanel" tabindex="-1" aria-labelledby=${name === "job" ? undefined : `tab-${name}`} ref=${panel}><${View} key=${name} /></section></main>
    <${Bottom} /><${Drawer} /><${Keys} /><${Credits} /><${Toast} />${cameraOpen.value && here.value.camera && html`<${here.value.camera} />`}<${Curtain} />${here.value.key && html`<${here.value.key} />`}`;
}

effect(() => {
  if (cameraOpen.value) bring("camera").catch(() => { wentAway(); cameraOpen.value = null; });
});

effect(() => {
  if (asked.value) bring("key").catch(wentAway);
});

const dragging = signal(false);
const Curtain = () => html`<div class="curtain" hidden=${!dragging.value || view.value === "teach"} aria-hidden="true"><p>${t("picture.drop")}</p></div>`;

/** Whatever is dropped or pasted anywhere is looked at, but the classroom has places of its own. */
function takeFiles(files) {
  if (view.value === "teach" || files.length === 0) return;
  useFiles(files);
  if (["lesson", "job"].includes(view.value)) go("classify", "", {});
}

addEventListener("dragover", (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  dragging.value = true;
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) dragging.value = false;
});
addEventListener("drop", (event) => {
  event.preventDefault();
  dragging.value = false;
  takeFiles([...(event.dataTransfer?.files ?? [])]);
});
addEventListener("paste", (event) => takeFiles([...(event.clipboardData?.files ?? [])]));
addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  const writing = target.matches("input:not([type=range]):not([type=radio]):not([type=checkbox]), select, textarea");
  if (writing || event.ctrlKey || event.metaKey || event.altKey || remembered("keys") === "off") return;
  if (/^[0-5]$/.test(event.key)) go(VIEWS[Number(event.key)]);
  else if (event.key === "?") document.getElementById("keys")?.togglePopover();
  else if (event.key === "u") document.getElementById("choose")?.click();
});

// With its first view, which was asked for with the rest, so that the page is laid out once.
await Promise.allSettled([bring(view.value), key.value && bring("key")]);
render(html`<${Page} />`, /** @type {HTMLElement} */ (document.getElementById("page")));
