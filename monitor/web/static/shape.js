// A verdict is shape, colour and word: circle good, triangle fair, square poor, hatched ring unknown, dash not fitted.
import { html } from "./vendor/preact.js";

const SHAPES = {
  good: () => html`<circle cx="8" cy="8" r="6" fill="currentColor" />`,
  fair: () => html`<path d="M8 1.5 15.2 14.5H.8Z" fill="currentColor" />`,
  poor: () => html`<rect x="1.5" y="1.5" width="13" height="13" rx="1" fill="currentColor" />`,
  unknown: () => html`<g fill="none" stroke="currentColor" stroke-width="1.6">
    <circle cx="8" cy="8" r="6.2" /><path d="M4 12 12 4M3 8.6 8.6 3M7.4 13 13 7.4" stroke-width="1.2" /></g>`,
  not_fitted: () => html`<path d="M3 8H13" stroke="currentColor" stroke-width="2" />`,
};

/** The shape alone: wherever it stands the word stands beside it or in the accessible name. */
export function Shape({ verdict }) {
  return html`<svg class=${`shape ${verdict}`} viewBox="0 0 16 16" aria-hidden="true">${SHAPES[verdict]()}</svg>`;
}

/** Shape and word together. */
export function Verdict({ w, verdict }) {
  return html`<span class=${`word ${verdict}`}><${Shape} verdict=${verdict} /> ${w.t(`verdict.${verdict}`)}</span>`;
}

/** A figure typeset: digits of one width, the unit smaller after a thin space. */
export function Figure({ w, value, unit }) {
  const { digits, unit: word } = w.parts(value, unit);
  return html`<span class="fig">${digits}${word && html`<span class="unit">${word}</span>`}</span>`;
}
