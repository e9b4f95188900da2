// The film of an ideal image, frame by frame where the browser can (ImageDecoder), else as it plays.
import { html, useEffect, useRef, useState } from "./html.js";
import { fetched } from "./api.js";
import { t } from "./words.js";

/** @param {{href: string, alt: string}} props */
export function Film({ href, alt }) {
  const canvas = useRef(null);
  const decoder = useRef(/** @type {any} */ (null));
  const [frames, setFrames] = useState(0);
  const [at, setAt] = useState(0);
  const can = "ImageDecoder" in globalThis;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  useEffect(() => {
    if (!can) return undefined;
    let here = true;
    (async () => {
      const answer = await fetched(href);
      const made = new globalThis.ImageDecoder({ data: await answer.arrayBuffer(), type: "image/webp" });
      await made.tracks.ready;
      if (!here) return made.close();
      decoder.current = made;
      const count = made.tracks.selectedTrack?.frameCount ?? 0;
      setFrames(count);
      setAt(still ? count - 1 : 0);
      return undefined;
    })().catch(() => {});
    return () => {
      here = false;
      decoder.current?.close();
    };
  }, [href]);
  useEffect(() => {
    if (!frames) return;
    decoder.current.decode({ frameIndex: at }).then(({ image }) => {
      const place = canvas.current;
      if (place) {
        place.width = image.displayWidth;
        place.height = image.displayHeight;
        place.getContext("2d").drawImage(image, 0, 0);
      }
      image.close();
    }).catch(() => {});
  }, [at, frames]);
  useEffect(() => {
    if (!frames || still) return undefined;
    const timer = setInterval(() => setAt((now) => {
      if (now >= frames - 1) clearInterval(timer);
      return Math.min(frames - 1, now + 1);
    }), 90);
    return () => clearInterval(timer);
  }, [frames]);
  if (!can) return html`<img class="sq" src=${href} alt=${alt} />`;
  return html`<div class="film"><canvas class="sq" ref=${canvas} role="img" aria-label=${alt}></canvas>
    <input type="range" min="0" max=${Math.max(0, frames - 1)} value=${at} aria-label=${t("film.label")} onInput=${(event) => setAt(Number(event.target.value))} />
    <div class="ticks"><span>${t("film.noise")}</span><span>${t("film.end")}</span></div></div>`;
}
