// Before the first paint: the theme and the language that were chosen here, so that nothing flashes; what app.js will ask
// for; and the key that a link brought (`/#key=…`) is put away, so that nobody reads it in the address.
(() => {
  const LANGUAGES = ["tr", "en"];
  const own = /** @type {HTMLScriptElement} */ (document.currentScript).src;
  const brought = /^#key=(.+)$/.exec(location.hash);
  if (brought) {
    try {
      sessionStorage.setItem("key", decodeURIComponent(brought[1]));
    } catch {
      // A browser that keeps nothing is asked for it.
    }
    history.replaceState(null, "", location.pathname + location.search);
  }
  let theme = null;
  let language = "";
  try {
    theme = localStorage.getItem("theme");
    language = localStorage.getItem("language") ?? "";
  } catch {
    // A browser that keeps nothing shows its own theme.
  }
  const root = document.documentElement;
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const spoken = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => LANGUAGES.includes(tag));
  root.lang = LANGUAGES.includes(language) ? language : (spoken ?? "en");
  const ahead = (rel, path, as) => document.head.append(Object.assign(document.createElement("link"), { rel, href: new URL(path, own), ...as }));
  ahead("preload", `words/${root.lang}.json`, { as: "fetch", crossOrigin: "anonymous" });
  const view = /^#\/(\w+)/.exec(location.hash)?.[1];
  const needed = JSON.parse(document.getElementById("views")?.textContent ?? "");
  for (const path of needed[`views/${view === "job" ? "job_link" : view}.js`] ?? needed["views/lesson.js"]) ahead("modulepreload", path);
})();
