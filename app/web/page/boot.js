// Before the first paint: the theme and the language that were chosen here, so that nothing flashes.
// And the key that a link brought (`/#key=…`) is put away, so that nobody reads it in the address.
(() => {
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
  let language = null;
  try {
    theme = localStorage.getItem("theme");
    language = localStorage.getItem("language");
  } catch {
    // A browser that keeps nothing shows its own theme.
  }
  const root = document.documentElement;
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const spoken = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag === "en" || tag === "tr");
  root.lang = language === "en" || language === "tr" ? language : (spoken ?? "en");
})();
