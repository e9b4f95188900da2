// Line drawings of 24 × 24, where a word does not do.
import { html } from "./html.js";

const PATHS = {
  cam: "M4 8h4l1.5-2.5h5L16 8h4v11H4zM12 16.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z",
  check: "M4 12.5 9.5 18 20 6",
  classify: "M4 7h12M4 12h8M4 17h5",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  cross: "M6 6l12 12M18 6 6 18",
  down: "M12 4v12m0 0 5-5m-5 5-5-5M4 20h16",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  fool: "M4 6c5-2 11-2 16 0 0 8-3 13-8 13S4 14 4 6zM8 10.500c1-.8 2-.8 3 0M13 10.500c1-.8 2-.8 3 0M9 15c2-1.200 4-1.200 6 0",
  ideal: "M12 3l2 6 6 1-5 4 1.500 7L12 17.500 7.500 21 9 14l-5-4 6-1z",
  info: "M12 11v6M12 7.500v.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  inside: "M3 12s3.500-6 9-6 9 6 9 6-3.500 6-9 6-9-6-9-6zM12 14.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5z",
  key: "M14 10a4 4 0 1 0-3 3.900L13 16h2v2h2v2h3v-3z",
  lesson: "M4 5h6a2 2 0 0 1 2 2v12a2 2 0 0 0-2-1.500H4zM20 5h-6a2 2 0 0 0-2 2v12a2 2 0 0 1 2-1.500h6z",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4.2 4.2 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4.2 4.2 0 0 0 6 6l1-1",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.500 10.500z",
  paste: "M9 4h6v3H9zM9 5.5H6V20h12V5.5h-3",
  play: "M8 5l11 7-11 7z",
  plus: "M12 5v14M5 12h14",
  stop: "M6 6h12v12H6z",
  swap: "M4 8h14l-4-4M20 16H6l4 4",
  teach: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM16.500 13.500v6M13.500 16.500h6",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  up: "M12 16V4m0 0L7 9m5-5 5 5M4 17v3h16v-3",
};

/** @param {{name: keyof typeof PATHS}} props */
export const Icon = ({ name }) => html`<svg class="i" aria-hidden="true" viewBox="0 0 24 24"><path d=${PATHS[name]} /></svg>`;
