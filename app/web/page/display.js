// What a class of a model is called in the language of the page.
import { useEffect, useState } from "./html.js";
import { labelsOf, models } from "./models.js";
import { language } from "./words.js";

/** @param {string} model */
export function useDisplay(model) {
  const [labels, set] = useState(/** @type {import("./models.js").Label[]} */ ([]));
  const there = models.value.some((one) => one.name === model); // jobs outlive models that were deleted
  useEffect(() => {
    let here = true;
    if (there) labelsOf(model).then((found) => here && set(found), () => {});
    return () => { here = false; };
  }, [model, there, language.value]);
  return (label) => labels.find((one) => one.label === label)?.display ?? label;
}
