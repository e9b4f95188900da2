// What is remembered in this browser: choices in localStorage, pictures in IndexedDB. Without either, the page forgets on reload.

/** @param {string} name @returns {string | null} */
export function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** @param {string} name @param {string} value */
export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Private windows may keep nothing.
  }
}

const KEPT = 24;

/** @returns {Promise<IDBDatabase>} */
function database() {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("inkblot", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("pictures", { keyPath: "id" });
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
}

/** @template T @param {"readonly" | "readwrite"} mode @param {(store: IDBObjectStore) => IDBRequest<T>} work @returns {Promise<T>} */
async function inPictures(mode, work) {
  const opened = await database();
  try {
    return await new Promise((resolve, reject) => {
      const request = work(opened.transaction("pictures", mode).objectStore("pictures"));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } finally {
    opened.close();
  }
}

/** The newest few dozen are kept. @param {{id: string, name: string, blob: Blob}} picture */
export async function keepPicture(picture) {
  try {
    await inPictures("readwrite", (store) => store.put({ ...picture, at: Date.now() }));
    const all = await inPictures("readonly", (store) => store.getAll());
    const old = all.sort((a, b) => b.at - a.at).slice(KEPT);
    for (const one of old) await inPictures("readwrite", (store) => store.delete(one.id));
  } catch {
    // The picture is shown all the same, until the page is reloaded.
  }
}

/** The names of those that are kept, newest first. @returns {Promise<string[]>} */
export async function keptNames() {
  try {
    return (await inPictures("readonly", (store) => store.getAll())).sort((a, b) => b.at - a.at).map((one) => one.id);
  } catch {
    return [];
  }
}

/** @param {string} id @returns {Promise<{id: string, name: string, blob: Blob} | undefined>} */
export async function keptPicture(id) {
  try {
    return await inPictures("readonly", (store) => store.get(id));
  } catch {
    return undefined;
  }
}
