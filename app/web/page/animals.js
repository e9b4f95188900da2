// Four animals that no network knows by name, six pictures of each: something to teach for whoever brings nothing.
import { own } from "./own.js";

export const ANIMALS = ["Tarçın", "Pamuk", "Çakır", "Barut"];
const PICTURES = [1, 2, 3, 4, 5, 6];

/** @param {string} name @param {number} at */
const fileOf = (name, at) => `${name.toLowerCase().replace("ç", "c").replaceAll("ı", "i")}-${at}.webp`;
/** @param {string} name @param {number} at */
export const portrait = (name, at) => own(`pictures/${fileOf(name, at)}`);

/** @returns {Promise<{label: string, name: string, blob: Blob}[]>} */
export const animals = () => Promise.all(ANIMALS.flatMap((label) => PICTURES.map(async (at) => ({ label, name: fileOf(label, at), blob: await (await fetch(portrait(label, at))).blob() }))));
