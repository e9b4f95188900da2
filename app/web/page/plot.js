// Curves, by uPlot, with a table for whoever cannot see them.
import { html, useEffect, useRef, useState } from "./html.js";
import { own } from "./own.js";
import { plain, t } from "./words.js";

/** @typedef {{label: string, values: (number | null)[], ink: string, dash?: number[], width?: number}} Series */

/** Steps are whole numbers. */
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/** It is half of what the page borrows, and comes with the first curve. @returns {Promise<any>} */
async function uPlot() {
  const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: own("vendor/uplot.css") });
  if (!document.head.querySelector(`link[href="${style.href}"]`)) document.head.append(style);
  return (await import("./vendor/uplot.mjs")).default;
}

/** @param {string} name */
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** @param {Series[]} series @param {[number, number]} range @param {number} width @param {number} height */
function options(series, range, width, height) {
  const axis = { stroke: ink("--ink-2"), grid: { stroke: ink("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  return {
    width,
    height,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 9 } },
    scales: { x: { time: false }, y: { range } },
    axes: [{ ...axis, size: 28, incrs: WHOLE }, { ...axis, size: 40, values: (_, found) => found.map((value) => plain(value)) }],
    series: [{}, ...series.map((one) => ({ label: one.label, stroke: ink(one.ink), width: one.width ?? 2.5, dash: one.dash, points: { show: one.values.length < 3 } }))],
  };
}

/** @param {{x: number[], series: Series[], label: string, axis: string, range?: [number, number], height?: number}} props */
export function Plot({ x, series, label, axis, range = [0, 1], height = 190 }) {
  const box = useRef(null);
  const chart = useRef(null);
  const [table, setTable] = useState(false);
  const data = [x, ...series.map((one) => one.values)];
  const newest = useRef(data);
  newest.current = data;
  const theme = document.documentElement.dataset.theme;
  useEffect(() => {
    const place = box.current;
    if (!place) return undefined;
    let made = null;
    let here = true;
    const watching = new ResizeObserver(() => made.setSize({ width: Math.max(200, place.clientWidth), height }));
    uPlot().then((Curve) => {
      if (!here) return;
      made = new Curve(options(series, range, Math.max(200, place.clientWidth), height), newest.current, place);
      chart.current = made;
      watching.observe(place);
    }, () => {}); // the table is there without it
    return () => {
      here = false;
      watching.disconnect();
      made?.destroy();
      chart.current = null;
    };
  }, [series.length, theme, table, height]);
  useEffect(() => chart.current?.setData(data), [x.length, series.map((one) => one.values.at(-1)).join()]);
  return html`<div class="curve"><div class="row far small"><p class="key">${series.map((one) => html`<span key=${one.label} class="of-${one.ink.slice(2)} ${one.dash ? "dashed" : ""}">${one.label}</span>`)}</p>
    <button type="button" class="btn bare" aria-pressed=${table} onClick=${() => setTable(!table)}>${t(table ? "plot.curve" : "plot.table")}</button></div>
    ${table ? html`<${Table} x=${x} series=${series} axis=${axis} />` : html`<div ref=${box} role="img" aria-label=${label}></div>`}</div>`;
}

/** @param {{x: number[], series: Series[], axis: string}} props */
const Table = ({ x, series, axis }) => html`<div class="scroll tall" tabindex="0"><table class="verdict"><thead><tr><th scope="col">${axis}</th>
  ${series.map((one) => html`<th scope="col">${one.label}</th>`)}</tr></thead><tbody>${x.map((step, place) => html`<tr key=${step}><th scope="row">${step}</th>
  ${series.map((one) => html`<td>${one.values[place] === null ? "" : plain(one.values[place])}</td>`)}</tr>`)}</tbody></table></div>`;
