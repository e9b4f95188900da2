// A share with its interval, drawn.
import { html } from "./html.js";
import { exactPercent, t } from "./words.js";

/** Where the true figure may lie. @param {{accuracy: number, interval: [number, number], guess: number}} props */
export function Interval({ accuracy, interval: [low, high], guess }) {
  const told = { score: exactPercent(accuracy), low: exactPercent(low), high: exactPercent(high), guess: exactPercent(guess) };
  return html`<svg class="plot interval" role="img" aria-label=${t("report.interval.alt", told)} height="44" width="100%"><rect class="axis" x="0" y="21" width="100%" height="1" /><rect class="band" x="${low * 100}%" y="12" width="${Math.max(0.5, (high - low) * 100)}%" height="20" />
    <rect class="mark" x="${accuracy * 99.4}%" y="8" width="3" height="28" /><rect class="guess" x="${guess * 100}%" y="8" width="1.5" height="28" /></svg>
    <p class="row far small" aria-hidden="true"><span>${t("teach.guess")}: ${told.guess}</span><b class="voice">${t("report.interval", told)}</b></p>`;
}
