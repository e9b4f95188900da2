// The ways to a picture: the samples, a file, the camera, the clipboard.
import { html, useEffect, useRef } from "./html.js";
import { cameraOpen } from "./camera_open.js";
import { Icon } from "./icons.js";
import { SAMPLES, picture, use, useFiles, useSample } from "./picture.js";
import { t } from "./words.js";

export const Samples = () => html`<div class="pictools samples" role="group" aria-label=${t("picture.samples")}>${SAMPLES.map((one) => html`<button key=${one.id} type="button"
  aria-pressed=${picture.value?.id === one.id} onClick=${() => useSample(one.id)}><img src="/samples/${one.file}" alt=${t(`sample.${one.id}`)} /></button>`)}</div>`;

async function paste() {
  for (const item of await navigator.clipboard.read()) {
    const type = item.types.find((name) => name.startsWith("image/"));
    if (type) return use(await item.getType(type), "clipboard.png");
  }
  return undefined;
}

/** @param {{live?: string}} props */
export function PictureTools({ live }) {
  return html`<div class="pictools"><label class="btn file"><${Icon} name="up" /><span>${t("picture.choose")}</span><input id="choose" type="file" class="vh" multiple accept="image/*" onChange=${(event) => { useFiles(event.target.files); event.target.value = ""; }} /></label>
    <button type="button" class="btn" onClick=${() => { cameraOpen.value = { model: live, take: use }; }}><${Icon} name="cam" />${t("picture.camera")}</button>
    ${"clipboard" in navigator && html`<button type="button" class="btn" onClick=${() => paste().catch(() => {})}><${Icon} name="paste" />${t("picture.paste")}</button>`}</div>`;
}

/** The picture where it is not the view's main thing, and the way to another, which does not lead away. */
export function Dock() {
  const now = picture.value;
  const box = useRef(null);
  useEffect(() => { box.current?.removeAttribute("open"); }, [now?.id]);
  if (!now) return html`<div class="dock"></div>`; // its place, so that nothing moves when it comes
  return html`<details class="dock" ref=${box}><summary><img src=${now.url} alt=${t("picture.yours")} /><span class="small"><b>${now.name}</b><br /><span class="quiet">${now.width} × ${now.height}</span></span>
    <span class="btn"><${Icon} name="swap" /><span>${t("picture.other")}</span></span></summary><div class="others"><${Samples} /><${PictureTools} /></div></details>`;
}
