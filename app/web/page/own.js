// Where the files of the page lie: beside this module, under the digest of their edition.

/** @param {string} path */
export const own = (path) => new URL(path, import.meta.url).href;
