// What helps on the way: the keys, and who took the photos.
import { html, useState } from "./html.js";
import { Icon } from "./icons.js";
import { Switch } from "./parts.js";
import { remember, remembered } from "./store.js";
import { rich, t } from "./words.js";

const KEYS = ["views", "upload", "flip", "slide", "chapters", "help"];
const CREDITS = [
  ["cat.jpg", "Google Coral, Apache-2.0"],
  ["basenji.png", "fugzu, CC BY 2.0"],
  ["bernese.png", "Megan Cole, CC BY 2.0"],
  ["cat-eye.png", "Andrey, CC BY 2.0"],
  ["papillon.png", "naql, CC BY 2.0"],
];

/** @param {{id: string, title: string, children?: any}} props */
const Panel = ({ id, title, children }) => html`<aside class="drawer" id=${id} popover role="dialog" aria-label=${title}><div class="row far"><h2>${title}</h2>
  <button type="button" class="icon" popovertarget=${id} popovertargetaction="hide" aria-label=${t("close")}><${Icon} name="cross" /></button></div>${children}</aside>`;

export function Keys() {
  const [on, set] = useState(remembered("keys") !== "off");
  const change = (wanted) => {
    remember("keys", wanted ? "on" : "off");
    set(wanted);
  };
  return html`<${Panel} id="keys" title=${t("shell.keys")}><ul class="keys">${KEYS.map((name) => html`<li key=${name}>${rich(`keys.${name}`)}</li>`)}</ul>
    <${Switch} checked=${on} onChange=${change}>${t("keys.on")}<//><//>`;
}

export const Credits = () => html`<${Panel} id="credits" title=${t("shell.credits")}><dl class="fact">${CREDITS.map(([file, who]) => html`<dt>${file}</dt><dd>${who}</dd>`)}</dl>
  <p class="small quiet">${t("credits.text")}</p><//>`;
