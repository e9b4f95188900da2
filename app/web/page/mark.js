// The product's own blot: it takes the colour of the ink around it.
import { html } from "./html.js";
import { own } from "./own.js";

const { mark, halo: shade } = await (await fetch(own("mark.json"))).json();

/** @param {{halo?: boolean}} props */
export const Mark = ({ halo = false }) => html`<svg class="blot" aria-hidden="true" viewBox="0 0 100 100">
  ${halo && html`<path d=${shade} opacity=".22" />`}<path d=${mark} /></svg>`;
