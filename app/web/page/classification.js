// What a network says of a picture, asked for again when the picture, the network or the language changes.
import { askJson } from "./api.js";
import { useAnswer } from "./asking.js";
import { language } from "./words.js";

/** @param {string} name @param {import("./picture.js").Picture | null} shown @param {number} count */
export function useClassification(name, shown, count = 5) {
  const spoken = language.value;
  return useAnswer(shown && ((stop) => askJson("/v1/classify", { method: "POST", query: { model: name, lang: spoken, top_k: count }, body: shown.blob, signal: stop })), [name, shown, spoken]);
}
