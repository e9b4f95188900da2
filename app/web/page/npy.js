// Activations as the service sends them (.npy, float32), and as pictures.

/** @typedef {{channels: number, height: number, width: number, values: Float32Array}} Maps */

/** @param {ArrayBuffer} data @returns {Maps} */
export function read(data) {
  const length = new DataView(data).getUint16(8, true);
  const header = new TextDecoder().decode(new Uint8Array(data, 10, length));
  const shape = (/'shape': \(([^)]*)\)/.exec(header)?.[1] ?? "").split(",").map(Number);
  const [channels, height, width] = shape.slice(-3);
  return { channels, height, width, values: new Float32Array(data.slice(10 + length)) };
}

// Matplotlib's viridis, as a polynomial that is off by less than a level and a half.
const VIRIDIS = [
  [0.2777, 0.1051, -0.3309, -4.6342, 6.2283, 4.7764, -5.4355],
  [0.0054, 1.4046, 0.2148, -5.7991, 14.1799, -13.7451, 4.6459],
  [0.3341, 1.3846, 0.0951, -19.3324, 56.6906, -65.353, 26.3124],
];

/** @param {number} value 0 to 1 */
const viridis = (value) => VIRIDIS.map((terms) => terms.reduceRight((sum, term) => sum * value + term, 0) * 255);
/** @param {number} value 0 to 1 */
const grey = (value) => [value * 255, value * 255, value * 255];

/**
 * Draw a channel, from its lowest to its highest value or within a `range` that others share.
 * @param {HTMLCanvasElement} canvas @param {Maps} maps @param {number} place @param {{light?: boolean, range?: [number, number]}} [style]
 */
export function draw(canvas, maps, place, { light = false, range } = {}) {
  const { width, height, values } = maps;
  const part = values.subarray(place * width * height, (place + 1) * width * height);
  const [low, high] = range ?? rangeOf(part);
  canvas.width = width;
  canvas.height = height;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(width, height);
  const colour = light ? grey : viridis;
  part.forEach((value, at) => {
    const shown = high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0;
    image.data.set([...colour(shown), 255], at * 4);
  });
  context.putImageData(image, 0, 0);
}

/** @param {Float32Array} values @returns {[number, number]} */
export const rangeOf = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
