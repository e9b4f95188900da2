// Who wants the camera, and what for; the camera itself comes when somebody does.
import { signal } from "./html.js";

/** @typedef {{take: (blob: Blob, name: string) => void, burst?: boolean, model?: string}} Wish */
export const cameraOpen = signal(/** @type {Wish | null} */ (null));
