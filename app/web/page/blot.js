// A blot for everything that has an identity: mirrored Gaussian discs from its name, cut at a half.
import { html } from "./html.js";

const SIZE = 26;
const drawn = new Map();

/** Numbers in [0, 1) that depend on the text alone (FNV-1a, then mulberry32). @param {string} text */
function chance(text) {
  let state = 0x811c9dc5;
  for (const letter of text) state = Math.imul(state ^ letter.charCodeAt(0), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** @param {string} name */
function fieldOf(name) {
  const next = chance(name);
  const discs = Array.from({ length: 9 }, () => ({ x: next() * 0.44, y: 0.12 + next() * 0.76, r: 0.05 + next() * 0.11 }));
  return (x, y) => discs.reduce((sum, disc) => {
    const across = Math.abs(x - 0.5) - disc.x * 0.9;
    return sum + Math.exp(-(across ** 2 + (y - disc.y) ** 2) / disc.r ** 2);
  }, 0);
}

/** Marching squares: one small polygon for each cell that is inked. @param {string} name */
function pathOf(name) {
  const field = fieldOf(name);
  const level = Array.from({ length: SIZE + 1 }, (_, j) => Array.from({ length: SIZE + 1 }, (_, i) => field(i / SIZE, j / SIZE) - 0.5));
  const step = 100 / SIZE;
  let path = "";
  for (let j = 0; j < SIZE; j += 1) {
    let run = -1;
    for (let i = 0; i <= SIZE; i += 1) {
      const corners = i < SIZE ? [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]] : [];
      const full = corners.length > 0 && corners.every(([x, y]) => level[y][x] > 0);
      if (full && run < 0) run = i;
      if (!full && run >= 0) {
        path += `M${round(run * step)} ${round(j * step)}H${round(i * step)}v${round(step + 0.15)}H${round(run * step)}z`;
        run = -1;
      }
      if (!full) path += cell(corners, level, step);
    }
  }
  return path;
}

/** The inked part of a cell that the edge goes through. */
function cell(corners, level, step) {
  const points = [];
  corners.forEach(([x, y], at) => {
    const [nextX, nextY] = corners[(at + 1) % 4];
    const here = level[y][x];
    const there = level[nextY][nextX];
    if (here > 0) points.push([x, y]);
    if (here > 0 !== there > 0) {
      const share = here / (here - there);
      points.push([x + (nextX - x) * share, y + (nextY - y) * share]);
    }
  });
  return points.length < 3 ? "" : `M${points.map(([x, y]) => `${round(x * step)} ${round(y * step)}`).join("L")}z`;
}

const round = (value) => Math.round(value * 10) / 10;

/** @param {{name: string}} props */
export function Blot({ name }) {
  if (!drawn.has(name)) drawn.set(name, pathOf(name));
  return html`<svg class="blot" aria-hidden="true" viewBox="0 0 100 100"><path d=${drawn.get(name)} /></svg>`;
}
