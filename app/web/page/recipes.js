// What was asked for last, so that a result that is not kept any longer can be made again.
import { remember, remembered } from "./store.js";

const KEPT = 60;

/** @returns {Record<string, any>} */
function all() {
  try {
    return JSON.parse(remembered("recipes") ?? "{}");
  } catch {
    return {};
  }
}

/** @param {{id: string, kind: string, input: any}} job @param {string} [pictureId] */
export function keepRecipe(job, pictureId) {
  const kept = Object.entries(all()).slice(1 - KEPT);
  remember("recipes", JSON.stringify({ ...Object.fromEntries(kept), [job.id]: { kind: job.kind, input: job.input, picture: pictureId } }));
}

/** @param {string} id @returns {{kind: string, input: any, picture?: string} | undefined} */
export const recipeOf = (id) => all()[id];
