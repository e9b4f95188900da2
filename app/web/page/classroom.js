// The classroom: classes with their pictures, as they are gathered in the browser before they are sent.
import { signal } from "./html.js";
import { folded } from "./words.js";
import { withinPixels } from "./picture.js";

/** @typedef {{name: string, blob: Blob, url: string}} Example */
/** @typedef {{id: number, label: string, pictures: Example[], broken: number, copies: number}} Class */

const PIXELS = 640 * 640;
/** More is not seen by the networks, and takes longer to send. */

export const classes = signal(/** @type {Class[]} */ ([]));
/** A zip, which is sent as it is. */
export const archive = signal(/** @type {File | null} */ (null));
let count = 0;

/** @param {string} label @returns {Class} */
export function addClass(label) {
  const made = { id: (count += 1), label, pictures: [], broken: 0, copies: 0 };
  classes.value = [...classes.value, made];
  return made;
}

/** @param {number} id @param {(one: Class) => Partial<Class>} how */
export function changeClass(id, how) {
  classes.value = classes.value.map((one) => (one.id === id ? { ...one, ...how(one) } : one));
}

/** @param {number} id */
export function removeClass(id) {
  for (const one of classes.value.find((each) => each.id === id)?.pictures ?? []) URL.revokeObjectURL(one.url);
  classes.value = classes.value.filter((one) => one.id !== id);
}

/** Put pictures into a class; broken ones and equal ones are counted, not kept. @param {number} id @param {Iterable<File>} files */
export async function addPictures(id, files) {
  for (const file of files) {
    const blob = await shown(file);
    if (!blob) {
      changeClass(id, (one) => ({ broken: one.broken + 1 }));
      continue;
    }
    const known = classes.value.find((one) => one.id === id)?.pictures ?? [];
    if (known.some((one) => one.blob.size === blob.size && one.name === file.name)) changeClass(id, (one) => ({ copies: one.copies + 1 }));
    else changeClass(id, (one) => ({ pictures: [...one.pictures, { name: file.name, blob, url: URL.createObjectURL(blob) }] }));
  }
}

/** The picture, small enough; null if the browser cannot read it. @param {File} file */
async function shown(file) {
  try {
    (await createImageBitmap(file)).close();
    return await withinPixels(file, PIXELS);
  } catch {
    return null;
  }
}

/** Files with the folder that they lie in; a folder is a class. @param {DataTransfer} dropped @returns {Promise<{folder: string, file: File}[]>} */
export async function filesOf(dropped) {
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return [...dropped.files].map((file) => ({ folder: "", file }));
  return (await Promise.all(entries.map((entry) => walk(entry, "")))).flat();
}

/** @param {any} entry @param {string} folder @returns {Promise<{folder: string, file: File}[]>} */
async function walk(entry, folder) {
  if (entry.isFile) return [{ folder, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) }];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at a time
    if (part.length === 0) break;
    found.push(...part);
  }
  return (await Promise.all(found.map((one) => walk(one, entry.name)))).flat();
}

/** @param {{folder: string, file: File}[]} found @param {string} fallback */
export async function take(found, fallback) {
  const zip = found.find(({ file }) => file.name.toLowerCase().endsWith(".zip"));
  if (zip) {
    archive.value = zip.file;
    return;
  }
  for (const label of new Set(found.map(({ folder }) => folder || fallback))) {
    const there = classes.value.find((one) => folded(one.label) === folded(label)) ?? addClass(label);
    await addPictures(there.id, found.filter(({ folder }) => (folder || fallback) === label).map(({ file }) => file));
  }
}
