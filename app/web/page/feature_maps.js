// What a layer answers to a picture, as numbers and as tiles.
import { html, useEffect, useRef } from "./html.js";
import { ask, askJson } from "./api.js";
import { draw, read } from "./npy.js";

/** @param {{maps: any, place: number, light?: boolean, range?: [number, number], kind?: string, label?: string}} props */
export function Tile({ maps, place, light, range, kind = "", label }) {
  const canvas = useRef(null);
  useEffect(() => draw(canvas.current, maps, place, { light, range }), [maps, place, light, range?.join()]);
  return html`<canvas class="pixel ${kind}" ref=${canvas} role=${label ? "img" : undefined} aria-label=${label} aria-hidden=${label ? undefined : true}></canvas>`;
}

/** The raw activations of some channels of a layer. @param {Blob} blob @param {Record<string, unknown>} query @param {AbortSignal} stop */
export async function activations(blob, query, stop) {
  const answer = await ask("/v1/feature-maps", { method: "POST", query, body: blob, form: "application/x-npy", signal: stop });
  return read(await answer.arrayBuffer());
}

/** Each stage with its first channel. @param {Blob} blob @param {string} name @param {string} spoken @param {AbortSignal} stop */
export async function stagesOf(blob, name, spoken, stop) {
  const listed = (await askJson("/v1/feature-maps", { method: "POST", query: { model: name, channels: "top:1", lang: spoken }, body: blob, signal: stop })).data;
  const maps = await Promise.all(listed.map((one) => activations(blob, { model: name, layer: one.layer, channels: String(one.channels[0].channel) }, stop)));
  return listed.map((one, at) => ({ ...one, maps: maps[at] }));
}
