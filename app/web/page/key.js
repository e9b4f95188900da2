// The key of whoever sits here, where the service wants one: for this tab alone, and sent with every request.
import { computed, signal } from "./html.js";

const NAME = "key";

function kept() {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}

export const key = signal(kept());
/** Whoever waits for a key; the dialog is open while somebody does. */
const waiting = signal(/** @type {((got: boolean) => void)[]} */ ([]));
export const asked = computed(() => waiting.value.length > 0);
/** Whoever goes on without a key is not asked again for every request that follows. */
let declined = false;
/** Whether the last one was refused. */
export const refused = signal(false);

/** @param {string} value */
function keep(value) {
  key.value = value;
  try {
    sessionStorage.setItem(NAME, value);
  } catch {
    // Then it is asked for again after a reload.
  }
}

/** @param {Record<string, string>} headers */
export const authorized = (headers) => (key.value ? { ...headers, Authorization: `Bearer ${key.value}` } : headers);

/** Whether there is another key by now than the `used` one, which was refused. @param {string} used @returns {Promise<boolean>} */
export function newKey(used) {
  if (key.value !== used) return Promise.resolve(true);
  if (declined) return Promise.resolve(false);
  refused.value = used !== "";
  return new Promise((resolve) => {
    waiting.value = [...waiting.value, resolve];
  });
}

/** What was typed into the dialog; nothing if it was closed. @param {string} typed */
export function give(typed) {
  const value = typed.trim().replace(/^.*#key=/, ""); // a whole link is as good
  if (value) keep(value);
  declined = !value;
  const all = waiting.value;
  waiting.value = [];
  for (const resolve of all) resolve(Boolean(value));
}

addEventListener("hashchange", () => {
  const brought = /^#key=(.+)$/.exec(location.hash);
  if (!brought) return;
  history.replaceState(null, "", location.pathname + location.search);
  give(decodeURIComponent(brought[1]));
});
