// The camera: what it sees is classified several times a second, and kept when one says so.
import { html, useEffect, useRef, useState } from "./html.js";
import { askJson } from "./api.js";
import { cameraOpen } from "./camera_open.js";
import { Icon } from "./icons.js";
import { Answers } from "./parts.js";
import { encoded } from "./picture.js";
import { language, t, whole } from "./words.js";

const LIVE_SIDE = 288;
const BURST_MS = 250;

/** The middle square of what is seen. @param {HTMLVideoElement} video @param {number} side */
function still(video, side) {
  const canvas = document.createElement("canvas");
  canvas.width = side;
  canvas.height = side;
  const edge = Math.min(video.videoWidth, video.videoHeight);
  canvas.getContext("2d")?.drawImage(video, (video.videoWidth - edge) / 2, (video.videoHeight - edge) / 2, edge, edge, 0, 0, side, side);
  return encoded(canvas, "image/jpeg");
}

/** Classify what is seen, again as soon as there is an answer. @param {HTMLVideoElement} video @param {string} model @param {(seen: any) => void} tell @param {AbortSignal} stop */
async function live(video, model, tell, stop) {
  let rate = 0;
  while (!stop.aborted) {
    const began = performance.now();
    try {
      const found = await askJson("/v1/classify", { method: "POST", query: { model, lang: language.value, top_k: 3 }, body: await still(video, LIVE_SIDE), signal: stop });
      const now = 1000 / (performance.now() - began);
      rate = rate ? rate * 0.8 + now * 0.2 : now;
      tell({ ...found, rate });
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

export function Camera() {
  const wish = /** @type {import("./camera_open.js").Wish} */ (cameraOpen.value);
  const video = useRef(null);
  const dialog = useRef(null);
  const [problem, setProblem] = useState("");
  const [seen, setSeen] = useState(/** @type {any} */ (null));
  const [taken, setTaken] = useState(0);
  const burst = useRef(0);
  const close = () => { cameraOpen.value = null; };
  useEffect(() => {
    dialog.current.showModal();
    const stop = new AbortController();
    /** @type {MediaStream | undefined} */
    let stream;
    const begin = async () => {
      if (!navigator.mediaDevices) throw new Error(t("camera.insecure"));
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      if (stop.signal.aborted) return stream.getTracks().forEach((track) => track.stop());
      video.current.srcObject = stream;
      await video.current.play();
      return wish.model ? live(video.current, wish.model, setSeen, stop.signal) : undefined;
    };
    begin().catch((error) => stop.signal.aborted || setProblem(error.message || t("camera.refused")));
    return () => {
      stop.abort();
      clearInterval(burst.current);
      stream?.getTracks().forEach((track) => track.stop());
    };
  }, []);
  const take = async () => {
    wish.take(await still(video.current, 640), `camera-${Date.now()}.jpg`);
    setTaken((count) => count + 1);
    if (!wish.burst) close();
  };
  const hold = (held) => () => {
    clearInterval(burst.current);
    if (held) burst.current = setInterval(take, BURST_MS);
  };
  return html`<dialog class="camera" ref=${dialog} aria-label=${t("picture.camera")} onClose=${close}>
    <div class="row far"><h2>${t("picture.camera")}</h2><button type="button" class="icon" aria-label=${t("close")} onClick=${close}><${Icon} name="cross" /></button></div>
    ${problem ? html`<p role="alert">${t("camera.refused")} <span class="quiet">${problem}</span></p>` : html`<video ref=${video} muted playsinline aria-label=${t("camera.seen")}></video>`}
    ${seen && html`<div class="stack-s"><${Answers} predictions=${seen.predictions} count=${3} kind="live" /><p class="small quiet">${t("camera.rate", { n: whole(seen.rate) })}</p></div>`}
    ${!problem && html`<div class="row"><button type="button" class="btn main" onClick=${take}>${t("camera.take")}</button>
      ${wish.burst && html`<button type="button" class="btn" onPointerDown=${hold(true)} onPointerUp=${hold(false)} onPointerLeave=${hold(false)}>${t("camera.burst")}</button>
      <span class="small quiet" role="status">${t("camera.taken", { n: taken })}</span>`}</div>`}</dialog>`;
}
