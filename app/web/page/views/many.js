// Many pictures at once: a table that can be sorted, and taken along as CSV.
import { html, useEffect, useState } from "../html.js";
import { Problem, askJson, told } from "../api.js";
import { Icon } from "../icons.js";
import { model } from "../models.js";
import { Head, Progress } from "../parts.js";
import { many, use, withinPixels } from "../picture.js";
import { inOrder, language, percent, t } from "../words.js";

const AT_ONCE = 16;

/** @typedef {{file: File, url: string, label: string, score: number, unknown: boolean, problem: string}} Row */

/** @param {File[]} files @param {string} name @param {AbortSignal} stop @returns {Promise<any[]>} */
async function classified(files, name, stop) {
  const form = new FormData();
  for (const file of files) form.append("file", await withinPixels(file), file.name || "picture");
  const answer = await askJson("/v1/classify", { method: "POST", query: { model: name, top_k: 1, lang: language.value }, body: form, signal: stop });
  return answer.object === "list" ? answer.data : [answer];
}

/** @param {File} file @param {string} url @param {any} answer @returns {Row} */
function row(file, url, answer) {
  const [first] = answer.predictions ?? [];
  if (first) return { file, url, label: first.display, score: first.score, unknown: answer.unknown?.is_unknown ?? false, problem: "" };
  const slug = String(answer.type).split("/").pop() ?? "internal";
  return { file, url, label: "", score: 0, unknown: false, problem: told(new Problem(slug, answer)).title };
}

/** @param {Row[]} rows */
function csv(rows) {
  const cell = (value) => `"${String(value).replaceAll('"', '""')}"`;
  const lines = rows.map((one) => [one.file.name, one.label, one.score.toFixed(6), one.unknown, one.problem].map(cell).join(","));
  return new Blob([["picture,class,score,unknown,problem", ...lines].join("\r\n")], { type: "text/csv" });
}

/** @param {{files: File[]}} props */
export function Many({ files }) {
  const [rows, setRows] = useState(/** @type {Row[]} */ ([]));
  const [by, setBy] = useState(/** @type {{key: "name" | "label" | "score", down: boolean}} */ ({ key: "name", down: false }));
  const [problem, setProblem] = useState("");
  const name = model.value;
  useEffect(() => {
    const stop = new AbortController();
    const urls = files.map((file) => URL.createObjectURL(file));
    setRows([]);
    (async () => {
      for (let from = 0; from < files.length; from += AT_ONCE) {
        const part = files.slice(from, from + AT_ONCE);
        const answers = await classified(part, name, stop.signal);
        if (stop.signal.aborted) return;
        setRows((now) => [...now, ...answers.map((answer, at) => row(part[at], urls[from + at], answer))]);
      }
    })().catch((error) => stop.signal.aborted || setProblem(told(error).text));
    return () => {
      stop.abort();
      urls.forEach((url) => URL.revokeObjectURL(url));
    };
  }, [files, name, language.value]);
  const orders = { name: (a, b) => inOrder(a.file.name, b.file.name), label: (a, b) => inOrder(a.label, b.label) || b.score - a.score, score: (a, b) => a.score - b.score };
  const sorted = [...rows].sort((a, b) => orders[by.key](a, b) * (by.down ? -1 : 1));
  const column = (key) => html`<th scope="col" aria-sort=${by.key === key ? (by.down ? "descending" : "ascending") : "none"}><button type="button" class="btn bare" onClick=${() => setBy({ key, down: by.key === key && !by.down })}>${t(`many.${key}`)}</button></th>`;
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(csv(sorted));
    link.download = "inkblot.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return html`<${Head} title=${t("many.title", { n: files.length })} text=${t("many.text", { name })} /><div class="stack">
    ${problem && html`<p role="alert">${problem}</p>`}${rows.length < files.length && !problem && html`<${Progress} share=${rows.length / files.length} label=${t("many.progress")} />`}
    <div class="row"><button type="button" class="btn" onClick=${save} disabled=${rows.length === 0}><${Icon} name="down" />CSV</button><button type="button" class="btn" onClick=${() => { many.value = []; }}>${t("many.back")}</button>
    <span class="small quiet" role="status">${t("many.count", { done: rows.length, n: files.length })}</span></div>
    <div class="scroll" tabindex="0" role="region" aria-label=${t("many.title", { n: files.length })}><table class="verdict many"><thead><tr><th scope="col"><span class="vh">${t("many.picture")}</span></th>${column("name")}${column("label")}${column("score")}</tr></thead>
    <tbody>${sorted.map((one) => html`<tr key=${one.url}><td><button type="button" class="thumb" aria-label=${t("many.open", { name: one.file.name })} onClick=${() => use(one.file, one.file.name)}><img src=${one.url} alt="" loading="lazy" /></button></td>
      <td>${one.file.name}</td><td>${one.problem ? html`<span class="quiet">${one.problem}</span>` : one.unknown ? html`<span class="quiet">${t("many.unknown", { name: one.label })}</span>` : html`<b class="voice">${one.label}</b>`}</td>
      <td class="num">${one.problem ? "" : percent(one.score)}</td></tr>`)}</tbody></table></div></div>`;
}
