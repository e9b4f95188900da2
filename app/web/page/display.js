// What a class of a model is called in the language of the page.
import { useEffect, useState } from "./html.js";
import { labelsOf } from "./models.js";
import { language } from "./words.js";

/** @param {string} model */
export function useDisplay(model) {
  const [labels, set] = useState(/** @type {import("./models.js").Label[]} */ ([]));
  useEffect(() => {
    let here = true;
    if (model) labelsOf(model).then((found) => here && set(found), () => {});
    return () => { here = false; };
  }, [model, language.value]);
  return (label) => labels.find((one) => one.label === label)?.display ?? label;
}
