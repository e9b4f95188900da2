// The nine places, in the pictures that are at hand, that excite a channel most.
import { html, useEffect, useRef } from "../html.js";
import { Trouble, useAnswer } from "../asking.js";
import { activations } from "../feature_maps.js";
import { SAMPLES, picture, pictureNamed } from "../picture.js";
import { keptNames } from "../store.js";
import { plain, t } from "../words.js";

const SHOWN = 9;
const OF_ONE_PICTURE = 3;
const KEPT_PICTURES = 4;
const SIDE = 96;
/** Of the edge of what the network sees; a fifth of it at 28 × 28 places, and more where a place looks at more. @param {number} places */
const shareOf = (places) => Math.min(0.5, 1.1 / Math.sqrt(places));

/** @typedef {{x: number, y: number, width: number, height: number}} Box in shares of a picture */
/** @typedef {{value: number, box: Box, blob: Blob}} Spot */

/** A network sees the middle square, a `share` of the shorter side. @param {any} shown @param {number} share @returns {Box} */
function middle({ width, height }, share) {
  const side = share * Math.min(width, height);
  return { x: (1 - side / width) / 2, y: (1 - side / height) / 2, width: side / width, height: side / height };
}

/** The highest places, apart by at least half of what is cut out. @param {import("../npy.js").Maps} maps @param {Box} frame @param {Blob} blob @returns {Spot[]} */
function peaks({ width, height, values }, frame, blob) {
  const share = shareOf(width);
  const order = [...values.keys()].sort((a, b) => values[b] - values[a]);
  /** @type {{x: number, y: number, value: number}[]} */
  const found = [];
  for (const at of order) {
    const [x, y] = [((at % width) + 0.5) / width, (Math.floor(at / width) + 0.5) / height];
    if (found.every((one) => Math.max(Math.abs(one.x - x), Math.abs(one.y - y)) > share / 2)) found.push({ x, y, value: values[at] });
    if (found.length === OF_ONE_PICTURE) break;
  }
  const corner = (middle) => Math.min(1 - share, Math.max(0, middle - share / 2));
  return found.map(({ x, y, value }) => ({ value, blob, box: { x: frame.x + corner(x) * frame.width, y: frame.y + corner(y) * frame.height, width: share * frame.width, height: share * frame.height } }));
}

/** @param {Record<string, unknown>} query @param {number} share @param {any} shown @param {AbortSignal} stop */
async function strongest(query, share, shown, stop) {
  const names = new Set([shown.id, ...SAMPLES.map((one) => one.id), ...(await keptNames()).slice(0, KEPT_PICTURES)]);
  const spots = await Promise.all([...names].map(async (name) => {
    const one = name === shown.id ? shown : await pictureNamed(name);
    return one ? peaks(await activations(one.blob, query, stop), middle(one, share), one.blob) : [];
  }));
  return { of: names.size, spots: spots.flat().filter((one) => one.value > 0).sort((a, b) => b.value - a.value).slice(0, SHOWN) };
}

/** @param {{spot: Spot}} props */
function Cut({ spot: { blob, box, value } }) {
  const canvas = useRef(null);
  useEffect(() => {
    createImageBitmap(blob).then((bitmap) => {
      canvas.current?.getContext("2d").drawImage(bitmap, box.x * bitmap.width, box.y * bitmap.height, box.width * bitmap.width, box.height * bitmap.height, 0, 0, SIDE, SIDE);
      bitmap.close();
    }, () => {});
  }, [blob, box]);
  return html`<canvas ref=${canvas} width=${SIDE} height=${SIDE} role="img" aria-label=${t("channel.spotted", { value: plain(value) })}></canvas>`;
}

/** @param {{model: string, layer: string, channel: number, seen: Box}} props */
export function Excites({ model, layer, channel, seen }) {
  const shown = picture.value;
  const { value, problem, busy } = useAnswer(shown && ((stop) => strongest({ model, layer, channels: String(channel) }, Math.max(seen.width, seen.height), shown, stop)), [model, layer, channel, shown]);
  return html`<section class="stack-s" aria-busy=${busy}><h3 class="h4">${t("channel.excites")}</h3><${Trouble} problem=${problem} />
    <div class="nine ${busy ? "busy" : ""}">${value?.spots.map((spot, place) => html`<${Cut} key=${`${channel} ${place}`} spot=${spot} />`)}</div>
    <p class="small quiet">${value && t(value.spots.length ? "channel.excites.text" : "channel.excites.none", { n: value.of })}</p></section>`;
}
