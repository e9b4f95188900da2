// The picture that all views are about. It travels in the link (`p`), and is kept in this browser when it is one's own.
import { effect, signal, untracked } from "./html.js";
import { choose, go, route, view } from "./route.js";
import { keepPicture, keptPicture } from "./store.js";

const UNTOUCHED_PIXELS = 4e6;
/** Above, the browser makes a photo smaller first; below, it goes up as it is, or looking at a fooled picture again would prove nothing. */

export const SAMPLES = [
  { id: "cat", file: "cat.jpg" },
  { id: "bernese", file: "bernese.png" },
  { id: "blot", file: "blot.png" },
  { id: "basenji", file: "basenji.png" },
  { id: "cat-eye", file: "cat-eye.png" },
  { id: "papillon", file: "papillon.png" },
];

/** @typedef {{id: string, name: string, blob: Blob, url: string, width: number, height: number}} Picture */

export const picture = signal(/** @type {Picture | null} */ (null));
/** Several pictures at once, for a table. */
export const many = signal(/** @type {File[]} */ ([]));
/** What is on its way, or was last. */
let latest = "";

/** @param {string} id @param {string} name @param {Blob} blob @returns {Promise<Picture>} */
async function made(id, name, blob) {
  const { width, height } = await sizeOf(blob);
  return { id, name, blob, url: URL.createObjectURL(blob), width, height };
}

/** 0 × 0 for what the browser cannot show; the service may, or says what it is. @param {Blob} blob */
async function sizeOf(blob) {
  const bitmap = await createImageBitmap(blob).catch(() => null);
  const { width, height } = bitmap ?? { width: 0, height: 0 };
  bitmap?.close();
  return { width, height };
}

/**
 * The blob on a canvas, `scale` times as large; gone again when `work` is done.
 * @template T @param {Blob} blob @param {(canvas: HTMLCanvasElement, context: CanvasRenderingContext2D) => Promise<T>} work @param {(width: number, height: number) => number} [scale]
 * @returns {Promise<T>}
 */
export async function whileDrawn(blob, work, scale = () => 1) {
  const bitmap = await createImageBitmap(blob);
  const factor = scale(bitmap.width, bitmap.height);
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(bitmap.width * factor);
  canvas.height = Math.round(bitmap.height * factor);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return work(canvas, context);
}

/** @param {HTMLCanvasElement} canvas @param {string} form @returns {Promise<Blob>} */
export const encoded = (canvas, form) => new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no picture"))), form, 0.92));

/** The blob, made smaller if it has more pixels than `pixels`. @param {Blob} blob @returns {Promise<Blob>} */
export async function withinPixels(blob, pixels = UNTOUCHED_PIXELS) {
  const { width, height } = await sizeOf(blob);
  if (width * height <= pixels) return blob;
  return whileDrawn(blob, (canvas) => encoded(canvas, "image/jpeg"), () => Math.sqrt(pixels / (width * height)));
}

/** Make this the picture. @param {Blob} blob @param {string} name */
export async function use(blob, name) {
  const id = `own-${Math.random().toString(36).slice(2, 10)}`;
  const smaller = await withinPixels(blob);
  latest = id;
  picture.value = await made(id, name, smaller);
  many.value = [];
  await keepPicture({ id, name, blob: smaller });
  choose({ p: id });
}

/** What was dropped, pasted or chosen: one picture, or many for a table, which Classify shows. @param {Iterable<File>} files */
export async function useFiles(files) {
  const found = [...files];
  if (found.length > 1) {
    many.value = found;
    if (view.value !== "classify") go("classify", "", {});
  } else if (found.length === 1) await use(found[0], found[0].name || "picture.png");
}

/** @param {string} id */
export function useSample(id) {
  many.value = [];
  choose({ p: id });
}

/** The name in the link leads to the picture: of a sample, or one that is kept here. @param {string} id */
export async function pictureNamed(id) {
  const sample = SAMPLES.find((one) => one.id === id);
  if (sample) return made(id, sample.file, await (await fetch(`/samples/${sample.file}`)).blob());
  const kept = await keptPicture(id);
  return kept ? made(id, kept.name, kept.blob) : null;
}

const BY_VIEW = { fool: "bernese" };

effect(() => {
  const wanted = route.value.choices.p ?? untracked(() => picture.value?.id) ?? BY_VIEW[view.value] ?? "cat";
  if (wanted === latest || wanted === untracked(() => picture.value?.id)) return;
  latest = wanted;
  pictureNamed(wanted)
    .then((found) => found ?? pictureNamed("cat"))
    .then((found) => {
      if (latest === wanted) picture.value = found;
    })
    .catch(() => {
      latest = "";
    });
});
