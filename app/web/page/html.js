// What the modules of the page borrow, under one name.
import htm from "./vendor/htm.mjs";
import { h } from "./vendor/preact.mjs";

export { Fragment, options, render } from "./vendor/preact.mjs";
export { useEffect, useLayoutEffect, useRef, useState } from "./vendor/hooks.mjs";
export { batch, computed, effect, signal, untracked } from "./vendor/signals.mjs";
export const html = htm.bind(h);
