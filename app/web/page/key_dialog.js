// Asks for a key, and lets what `<img>` and `<a download>` name come with it: they send no headers.
import { html, options, useEffect, useRef, useState } from "./html.js";
import { fetched } from "./api.js";
import { useUrl } from "./asking.js";
import { asked, give, key, refused } from "./key.js";
import { t } from "./words.js";

export function KeyDialog() {
  const dialog = useRef(null);
  const closing = useRef(false); // the event comes later, perhaps when a refused key has opened the dialog once more
  const open = asked.value;
  useEffect(() => {
    if (open && !dialog.current.open) dialog.current.showModal();
    else if (!open && dialog.current.open) {
      closing.current = true;
      dialog.current.close();
    }
  }, [open]);
  const closed = () => {
    if (!closing.current && asked.value) give("");
    closing.current = false;
  };
  const send = (event) => {
    event.preventDefault();
    give(String(new FormData(event.target).get("key")));
    event.target.reset();
  };
  return html`<dialog class="camera" ref=${dialog} aria-labelledby="key-title" onClose=${closed}><form class="stack-s" onSubmit=${send}>
    <h2 id="key-title">${t("key.title")}</h2><p>${t(refused.value ? "key.wrong" : "key.text")}</p>
    <label class="field"><span>${t("key.label")}</span><input name="key" required autocomplete="off" autocapitalize="off" spellcheck=${false} /></label>
    <div class="row"><button class="btn main">${t("key.give")}</button><button type="button" class="btn" onClick=${() => give("")}>${t("key.without")}</button></div></form></dialog>`;
}

/** @param {string} path */
function useFetched(path) {
  const [blob, set] = useState(/** @type {Blob | null} */ (null));
  useEffect(() => {
    let here = true;
    fetched(path).then((answer) => (answer.ok ? answer.blob() : null)).then((found) => here && found && set(found), () => {});
    return () => { here = false; };
  }, [path]);
  return useUrl(blob);
}

/** @param {Record<string, any>} props */
function OwnImage({ src, loading: _, ...rest }) {
  const url = useFetched(src);
  return html`<img ...${rest} src=${url || undefined} />`;
}

/** Fetched when it is wanted: a bundle has megabytes. @param {MouseEvent} event */
async function save(event) {
  event.preventDefault();
  const anchor = /** @type {HTMLAnchorElement} */ (event.currentTarget);
  const { pathname } = new URL(anchor.href);
  const answer = await fetched(pathname);
  if (!answer.ok) return;
  const url = URL.createObjectURL(await answer.blob());
  const saved = document.createElement("a");
  saved.href = url;
  saved.download = anchor.download || `${pathname.split("/").at(-2)}.zip`;
  saved.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const before = options.vnode;
options.vnode = (vnode) => {
  const props = /** @type {any} */ (vnode.props);
  if (key.value && vnode.type === "img" && props.src?.startsWith?.("/v1/")) vnode.type = OwnImage;
  if (key.value && vnode.type === "a" && props.href?.startsWith?.("/v1/") && props.download !== undefined) props.onClick = save;
  before?.(vnode);
};
