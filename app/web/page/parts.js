// The parts that views are made of.
import { html, useEffect, useRef, useState } from "./html.js";
import { Blot } from "./blot.js";
import { Icon } from "./icons.js";
import { folded, percent, t } from "./words.js";

/** SVG, because `width="93%"` is an attribute there, which the policy of the page allows. @param {{items: {label: string, score: number}[], kind?: string}} props */
export const Bars = ({ items, kind = "" }) => html`<ol class="bars ${kind}">${items.map((item, place) => html`
  <li key=${item.label} class=${place === 0 ? "first" : ""}><span>${item.label}</span><span class="pc">${percent(item.score)}</span>
  <svg aria-hidden="true" preserveAspectRatio="none"><rect width="${Math.max(0.4, item.score * 100)}%" height="100%" /></svg></li>`)}</ol>`;

/** @param {{predictions: any[], count?: number, kind?: string}} props */
export const Answers = ({ predictions, count = 5, kind }) => html`<${Bars} kind=${kind}
  items=${predictions.slice(0, count).map((one) => ({ label: one.display ?? one.label, score: one.score }))} />`;

/** Whose words they are. @param {{name: string, children?: any}} props */
export const Who = ({ name, children }) => html`<p class="who"><${Blot} name=${name} /><span><b>${name}</b> ${children}</span></p>`;

/** @param {{share: number, label: string}} props */
export const Progress = ({ share, label }) => html`<div class="progress" role="progressbar" aria-valuemin="0" aria-valuemax="100"
  aria-valuenow=${Math.round(share * 100)} aria-label=${label}><svg preserveAspectRatio="none" aria-hidden="true"><rect width="${share * 100}%" height="100%" /></svg></div>`;

let names = 0;

/** One of several, as radio buttons. @param {{label: string, options: [string, any][], value: string, onChange: (value: string) => void, kind?: string}} props */
export function Choice({ label, options, value, onChange, kind = "" }) {
  const [name] = useState(() => `choice-${(names += 1)}`);
  return html`<div class="seg ${kind}" role="radiogroup" aria-label=${label}>${options.map(([key, text]) => html`
    <label key=${key}><input type="radio" name=${name} checked=${key === value} onChange=${() => onChange(key)} /><span>${text}</span></label>`)}</div>`;
}

/** Any of several, as chips that are ticked. @param {{label: string, options: [string, string][], chosen: string[], onChange: (chosen: string[]) => void}} props */
export function Ticks({ label, options, chosen, onChange }) {
  const tick = (key, on) => onChange(options.map(([one]) => one).filter((one) => (one === key ? on : chosen.includes(one))));
  return html`<fieldset class="ticks"><legend class="lab">${label}</legend><div class="chips">${options.map(([key, text]) => html`<label key=${key} class="chip">
    <input type="checkbox" checked=${chosen.includes(key)} onChange=${(event) => tick(key, event.target.checked)} />${text}</label>`)}</div></fieldset>`;
}

/** @param {{checked: boolean, onChange: (checked: boolean) => void, children?: any, kind?: string}} props */
export const Switch = ({ checked, onChange, children, kind = "" }) => html`<label class="switch ${kind}"><input type="checkbox" role="switch"
  checked=${checked} onChange=${(event) => onChange(event.target.checked)} /><i></i><span>${children}</span></label>`;

/** @param {{label: string, value: string, options: [string, string][], onChange: (value: string) => void, bare?: boolean}} props */
export const Pick = ({ label, value, options, onChange, bare }) => {
  const select = html`<span class="pick"><select aria-label=${bare ? label : undefined} value=${value} onChange=${(event) => onChange(event.target.value)}>
    ${options.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === value}>${text}</option>`)}</select></span>`;
  return bare ? select : html`<label class="field"><span>${label}</span>${select}</label>`;
};

/** Two pictures under a line that is dragged, or moved by the arrows; Space held shows the second. */
export function Compare({ before, after, alt, altAfter, left, right, label, kind = "" }) {
  const box = useRef(null);
  const moved = (event) => box.current.style.setProperty("--x", `${event.target.value}%`);
  const hold = (held) => (event) => {
    if (event.type.startsWith("key") && event.key !== " ") return;
    event.preventDefault();
    box.current.classList.toggle("held", held);
  };
  return html`<div class="compare ${kind}" ref=${box}><img src=${before} alt=${alt} /><img src=${after} alt=${altAfter} class="b" />
    <span class="bar"></span><span class="tag l">${left}</span><span class="tag r">${right}</span>
    <input type="range" min="0" max="100" value="50" aria-label=${label} onInput=${moved} onKeyDown=${hold(true)} onKeyUp=${hold(false)} onBlur=${hold(false)} /></div>`;
}

/** A picture that shows another while it is held. */
export function Flip({ before, after, alt, altAfter, left, right, label, kind = "" }) {
  const [held, set] = useState(false);
  const keys = (down) => (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    set(down);
  };
  return html`<button type="button" class="flip ${held ? "held" : ""} ${kind}" aria-label=${label} aria-pressed=${held} onPointerDown=${() => set(true)}
    onPointerUp=${() => set(false)} onPointerLeave=${() => set(false)} onPointerCancel=${() => set(false)} onBlur=${() => set(false)}
    onKeyDown=${keys(true)} onKeyUp=${keys(false)}><img src=${before} alt=${alt} /><img src=${after} alt=${altAfter} class="b" />
    <span class="tag l">${held ? right : left}</span></button>`;
}

/** A search among classes: arrows choose, Enter takes, slips are forgiven. @param {{label: string, value: string, find: (text: string) => {label: string, display: string}[], onChoose: (one: any) => void}} props */
export function Combo({ label, value, find, onChoose }) {
  const [id] = useState(() => `combo-${(names += 1)}`);
  const [text, setText] = useState(/** @type {string | null} */ (null));
  const [at, setAt] = useState(0);
  const shown = text === null ? [] : find(text);
  const take = (one) => {
    setText(null);
    if (one) onChoose(one);
  };
  const keys = (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move) {
      event.preventDefault();
      if (text === null) setText("");
      else setAt((at + move + shown.length) % Math.max(1, shown.length));
    } else if (event.key === "Enter" && text !== null) {
      event.preventDefault();
      if (shown[at]) take(shown[at]);
    } else if (event.key === "Escape") setText(null);
  };
  return html`<div class="field combo"><label for=${id}><span class="lab">${label}</span></label>
    <input id=${id} type="search" role="combobox" autocomplete="off" spellcheck=${false} aria-expanded=${shown.length > 0} aria-controls="${id}-list" aria-autocomplete="list"
      aria-activedescendant=${shown.length ? `${id}-${at}` : undefined} value=${text ?? value} onFocus=${(event) => event.target.select()}
      onInput=${(event) => { setText(event.target.value); setAt(0); }} onKeyDown=${keys} onBlur=${() => setText(null)} onClick=${() => setText("")} />
    <ul role="listbox" id="${id}-list" aria-label=${label} hidden=${shown.length === 0}>${shown.map((one, place) => html`<li key=${one.label} id="${id}-${place}" role="option"
      aria-selected=${place === at} onPointerDown=${(event) => { event.preventDefault(); take(one); }}>${one.display}
      ${folded(one.label) !== folded(one.display) && html`<span>${one.label}</span>`}</li>`)}</ul></div>`;
}

/** @param {{title: string, text: string, children?: any}} props */
export const Head = ({ title, text, children }) => html`<div class="head"><div><h1 tabindex="-1">${title}</h1><p>${text}</p></div>${children}</div>`;

/** Whether something is copied, for a moment. @param {string} text */
async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea"); // pages that are not on https have no clipboard
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  return undefined;
}

/** @param {{text: () => string, children: any, icon: any}} props */
export function Copy({ text, children, icon }) {
  const [done, set] = useState(false);
  useEffect(() => {
    const timer = done ? setTimeout(() => set(false), 1500) : 0;
    return () => clearTimeout(timer);
  }, [done]);
  return html`<button type="button" class="btn" onClick=${() => copied(text()).then(() => set(true))}><${Icon} name=${done ? "check" : icon} />
    <span role="status">${done ? t("copy.done") : children}</span></button>`;
}

/** The same, for programs. @param {{curl: string, python: string, recipe: unknown, end?: any}} props */
export function Foot({ curl, python, recipe, end }) {
  const [form, set] = useState("curl");
  const texts = { curl, python, "recipe.json": JSON.stringify(recipe, null, 2) };
  return html`<details class="foot"><summary>${t("copy.summary")}<span class="end quiet">${end}</span></summary>
    <div class="row far"><${Choice} label=${t("copy.form")} value=${form} onChange=${set} options=${Object.keys(texts).map((name) => [name, name === "python" ? "Python" : name])} />
    <div class="row"><${Copy} icon="copy" text=${() => texts[form]}>${t("copy.text")}<//><${Copy} icon="link" text=${() => location.href}>${t("copy.link")}<//></div></div>
    <pre tabindex="0">${texts[form]}</pre></details>`;
}

/** For a shell: in quotes that nothing gets out of. @param {string} text */
export const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
