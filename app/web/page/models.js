// The models there are, which of them a view asks, and what their classes are called.
import { computed, effect, signal } from "./html.js";
import { askJson, returns } from "./api.js";
import { choose, route, view } from "./route.js";
import { folded, language } from "./words.js";

/** @typedef {{name: string, version: number, backbone: string, num_classes: number, metrics: any, training: any, is_default: boolean, is_trained: boolean}} Model */

export const models = signal(/** @type {Model[]} */ ([]));

/** @returns {Promise<void>} */
export async function refreshModels() {
  models.value = (await askJson("/v1/models", { query: { lang: language.value } })).data;
}

const BY_VIEW = { inside: "imagenet", ideal: "imagenet" };
const chosen = signal(/** @type {Record<string, string>} */ ({}));

/** The name of the model that this view asks. */
export const model = computed(() => {
  const usual = models.value.find((one) => one.is_default)?.name ?? "cats-vs-dogs";
  const wanted = route.value.choices.m ?? chosen.value[view.value] ?? BY_VIEW[view.value];
  return models.value.length === 0 || models.value.some((one) => one.name === wanted) ? (wanted ?? usual) : usual;
});

/** @param {string} name */
export function chooseModel(name) {
  chosen.value = { ...chosen.value, [view.value]: name };
  choose({ m: name });
}

/** @typedef {{index: number, label: string, display: string}} Label */
const labels = new Map();

/** The classes of a model, as they are called in the language of the page. @param {string} name @returns {Promise<Label[]>} */
export function labelsOf(name) {
  const version = models.value.find((one) => one.name === name)?.version ?? 0;
  const key = `${name} ${version} ${language.value}`;
  if (!labels.has(key)) {
    const asking = askJson(`/v1/models/${name}/labels`, { query: { lang: language.value } }).then((found) => found.data);
    asking.catch(() => labels.delete(key));
    labels.set(key, asking);
  }
  return labels.get(key);
}

const found = signal(/** @type {Record<string, number[]>} */ ({}));
const asked = new Set();

/**
 * What the service finds for a word in the classes of the view's model, best first: kinds, too, so that cat and kedi
 * find all cats. Nothing until it has answered; then whoever called this in its rendering is rendered again.
 * @param {string} text
 */
function foundByService(text) {
  const name = model.value;
  const key = `${name} ${language.value} ${text}`;
  if (found.value[key] === undefined && !asked.has(key)) {
    asked.add(key);
    askJson(`/v1/models/${name}/labels`, { query: { q: text, lang: language.value } }).then(
      ({ data }) => { found.value = { ...found.value, [key]: data.map((one) => one.index) }; },
      () => asked.delete(key),
    );
  }
  return found.value[key] ?? [];
}

/**
 * The classes that a person may mean, best first: what the service finds, then by the start of a word, anywhere, and with one slip of the finger.
 * @param {Label[]} classes @param {string} text
 */
export function search(classes, text) {
  const wanted = folded(text.trim());
  if (!wanted) return classes.slice(0, 8);
  const ranked = [];
  for (const one of classes) {
    const names = [folded(one.display), folded(one.label)];
    const rank = Math.min(...names.map((name) => rankOf(name, wanted)));
    if (rank < 9) ranked.push({ one, rank });
  }
  ranked.sort((a, b) => a.rank - b.rank || a.one.display.length - b.one.display.length);
  const here = ranked.map(({ one }) => one);
  const there = foundByService(text.trim()).flatMap((index) => classes.find((one) => one.index === index) ?? []);
  return [...new Set([...there, ...here])].slice(0, 8);
}

/** @param {string} name @param {string} wanted */
function rankOf(name, wanted) {
  if (name === wanted) return 0;
  if (name.startsWith(wanted)) return 1;
  if (name.split(/[\s-]/).some((word) => word.startsWith(wanted))) return 2;
  if (name.includes(wanted)) return 3;
  if (wanted.length < 4) return 9;
  const slips = wanted.length < 7 ? 1 : 2;
  return [name, ...name.split(/[\s-]/)].some((word) => distance(word.slice(0, wanted.length + 1), wanted) <= slips) ? 5 : 9;
}

/** How many letters must be typed, left out, changed or swapped (Damerau). @param {string} a @param {string} b */
function distance(a, b) {
  const rows = Array.from({ length: a.length + 1 }, (_, i) => [i, ...new Array(b.length).fill(0)]);
  for (let j = 0; j <= b.length; j += 1) rows[0][j] = j;
  for (let i = 1; i <= a.length; i += 1) {
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1];
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (same ? 0 : 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.length][b.length];
}

effect(() => {
  void returns.value;
  void language.value;
  refreshModels().catch(() => {});
});
