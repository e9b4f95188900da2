// Where one is: `#/view/argument?choices`. All that a link must carry is in it.
import { computed, signal } from "./html.js";

export const VIEWS = ["lesson", "classify", "inside", "ideal", "fool", "teach"];

/** @param {string} text */
function plain(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a link that somebody typed
  }
}

function read() {
  const [path, query = ""] = location.hash.slice(2).split("?");
  const [view, argument = ""] = path.split("/").map(plain);
  const known = VIEWS.includes(view) || view === "job" ? view : "lesson";
  return { view: known, argument, choices: Object.fromEntries(new URLSearchParams(query)) };
}

export const route = signal(read());
addEventListener("hashchange", () => {
  route.value = read();
});

export const view = computed(() => route.value.view);

/** @param {string} name @param {string} [argument] @param {Record<string, string>} [choices] */
export function link(name, argument = "", choices = {}) {
  const given = Object.entries(choices).filter(([, value]) => value);
  const query = new URLSearchParams(given).toString();
  return `#/${name}${argument ? `/${encodeURIComponent(argument)}` : ""}${query ? `?${query}` : ""}`;
}

/** @param {string} name @param {string} [argument] @param {Record<string, string>} [choices] */
export function go(name, argument, choices) {
  location.hash = link(name, argument, choices);
}

/** Change choices of this view without a step in the history. @param {Record<string, string | undefined>} choices */
export function choose(choices) {
  const merged = { ...route.value.choices, ...choices };
  const text = link(route.value.view, route.value.argument, /** @type {Record<string, string>} */ (merged));
  if (text === location.hash) return;
  history.replaceState(null, "", text);
  route.value = read();
}
