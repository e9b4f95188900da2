// Orders for slow work, each with its recipe kept.
import { submit } from "./jobs.js";
import { keepRecipe } from "./recipes.js";

/** An ideal image. @param {any} input */
export async function paint(input) {
  const job = await submit("/v1/ideal-images", { body: JSON.stringify(input), headers: { "Content-Type": "application/json" } });
  keepRecipe(job);
  return job;
}

/** An adversarial image. @param {Record<string, unknown>} query @param {import("./picture.js").Picture} picture */
export async function change(query, picture) {
  const job = await submit("/v1/adversarial-images", { query, body: picture.blob });
  keepRecipe(job, picture.id);
  return job;
}

/** A new model, or its next version. @param {Record<string, unknown>} query @param {{label: string, name: string, blob: Blob}[]} pictures */
export async function teach(query, pictures) {
  const form = new FormData();
  for (const { label, name, blob } of pictures) form.append("files", blob, `${label}/${name}`);
  return submit("/v1/models", { query, body: form });
}

/** @param {string} name @param {{picture: string, label: string | null}[]} corrections */
export const correct = (name, corrections) => submit(`/v1/models/${name}/corrections`, { body: JSON.stringify({ corrections }), headers: { "Content-Type": "application/json" } });
