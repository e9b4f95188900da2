// The page speaks English and Turkish; whatever is read is in words/en.json and words/tr.json, under the same keys.
import { batch, computed, html, signal } from "./html.js";
import { own } from "./own.js";
import { remember } from "./store.js";

/** @param {string} name @returns {Promise<Record<string, string>>} */
const catalogue = async (name) => (await fetch(own(`words/${name}.json`))).json();

export const language = signal(/** @type {"en" | "tr"} */ (document.documentElement.lang));
const words = signal(await catalogue(language.value));

/** Without the service, the page keeps the language that it has. @param {"en" | "tr"} chosen */
export async function speak(chosen) {
  const found = await catalogue(chosen).catch(() => null);
  if (!found) return;
  document.documentElement.lang = chosen;
  remember("language", chosen);
  batch(() => {
    words.value = found;
    language.value = chosen;
  });
}

/** The words of a key, with `{name}` replaced. @param {string} key @param {Record<string, unknown>} [values] @returns {string} */
export function t(key, values) {
  const found = words.value[key] ?? key.split(".").at(-1) ?? key; // what a newer service names speaks for itself
  return values ? found.replace(/\{(\w+)\}/g, (_, name) => String(values[name])) : found;
}

/**
 * The words of a key as nodes: `*…*` is the network speaking, `_…_` a term, `` `…` `` a key of the keyboard.
 * Values may be nodes. @param {string} key @param {Record<string, unknown>} [values]
 */
export function rich(key, values = {}) {
  const parts = t(key).split(/(\*[^*]+\*|_[^_]+_|`[^`]+`|\{\w+\})/);
  const filled = (text) => text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
  return parts.map((part) => {
    if (part.startsWith("*")) return html`<em class="voice">${filled(part.slice(1, -1))}</em>`;
    if (part.startsWith("_")) return html`<dfn>${filled(part.slice(1, -1))}</dfn>`;
    if (part.startsWith("`")) return html`<kbd>${part.slice(1, -1)}</kbd>`;
    return part.startsWith("{") ? values[part.slice(1, -1)] : part;
  });
}

const styles = computed(() => {
  const tag = language.value;
  return {
    percent: new Intl.NumberFormat(tag, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 }),
    signed: new Intl.NumberFormat(tag, { signDisplay: "always", minimumFractionDigits: 2, maximumFractionDigits: 2 }),
    plain: new Intl.NumberFormat(tag, { maximumSignificantDigits: 3 }),
    whole: new Intl.NumberFormat(tag, { maximumFractionDigits: 0 }),
    collator: new Intl.Collator(tag, { numeric: true }),
    date: new Intl.DateTimeFormat(tag, { day: "numeric", month: "long" }),
  };
});

/** A probability as people read it: never 0 or 100 %, which it is not. @param {number} score */
export function percent(score) {
  const style = styles.value.percent;
  if (score > 0.9995) return `> ${style.format(0.999)}`;
  if (score < 0.0005) return `< ${style.format(0.001)}`;
  return style.format(score);
}

/** An exact share, such as an accuracy, which may well be 100 %. @param {number} value */
export const exactPercent = (value) => styles.value.percent.format(value);
/** @param {number} value */
export const signed = (value) => styles.value.signed.format(value);
/** @param {number} value */
export const plain = (value) => styles.value.plain.format(value);
/** @param {number} value */
export const whole = (value) => styles.value.whole.format(value);
/** @param {string} a @param {string} b */
export const inOrder = (a, b) => styles.value.collator.compare(a, b);
/** @param {string} date */
export const day = (date) => styles.value.date.format(new Date(date));

/** For searching: small letters as Turkish has them, without accents, so that ISTANBUL, İstanbul and istanbul are one. @param {string} text */
export function folded(text) {
  return text.toLocaleLowerCase("tr").normalize("NFKD").replace(/\p{M}/gu, "").replaceAll("ı", "i");
}

/** "a cat", "an Egyptian cat", "sunglasses"; Turkish needs none. @param {string} name */
export const article = (name) => (language.value !== "en" || /[^s]s$/.test(name) ? "" : /^[aeiou]/i.test(name) ? "an " : "a ");

/** @param {number} seconds */
export function duration(seconds) {
  const shown = Math.max(1, Math.round(seconds));
  return shown < 90 ? t("time.seconds", { n: shown }) : t("time.minutes", { n: Math.round(shown / 60) });
}
