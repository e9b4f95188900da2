// The control of every attack: noise of the same size, which leads nowhere.
import { encoded, whileDrawn } from "./picture.js";

/** How much stronger the noise is drawn than it is, as the service draws the change. */
export const AMPLIFIED = 40;

/** Each colour of each point goes up or down by `levels` grey levels, by chance: as large as an attack within `levels` can be.
 * @param {Blob} blob @param {number} levels @returns {Promise<{noisy: Blob, noise: Blob}>} both PNG, so that nothing is lost */
export const withNoise = (blob, levels) => whileDrawn(blob, async (canvas, context) => {
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  const noise = context.createImageData(canvas.width, canvas.height);
  for (let at = 0; at < image.data.length; at += 1) {
    const colour = at % 4 < 3;
    const change = colour ? (Math.random() < 0.5 ? -levels : levels) : 0;
    noise.data[at] = colour ? 128 + change * AMPLIFIED : 255;
    image.data[at] += change; // clamped to 0..255 by the array itself
  }
  const [noisy, drawn] = [await saved(canvas, context, image), await saved(canvas, context, noise)];
  return { noisy, noise: drawn };
});

/** @param {HTMLCanvasElement} canvas @param {CanvasRenderingContext2D} context @param {ImageData} image */
function saved(canvas, context, image) {
  context.putImageData(image, 0, 0);
  return encoded(canvas, "image/png");
}
