// Sensitive text: blurred, and silent to screen readers, until somebody asks for it.

import { h } from "./dom.js";

let shown = false; // for all texts; a reload veils them again

export function allShown() {
  return shown;
}

/** Show or veil every sensitive text of the page. */
export function showAll(value) {
  shown = value;
  for (const one of document.querySelectorAll(".veil")) turn(one, value);
}

/** `content` behind a veil, if it is sensitive. `why` names what the screens found. */
export function veiled(content, sensitive, why = "") {
  if (!sensitive) return content;
  const button = h("button", { type: "button", class: "unveil" });
  const text = h("div", { class: "veiled" }, content);
  const whole = h("div", { class: "veil", "data-why": why }, text, button);
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    turn(whole, whole.dataset.shown !== "true");
  });
  turn(whole, shown);
  return whole;
}

function turn(whole, visible) {
  const [text, button] = whole.children;
  whole.dataset.shown = String(visible);
  text.setAttribute("aria-hidden", String(!visible));
  text.inert = !visible;
  button.textContent = visible ? "Hide" : `Show sensitive text${whole.dataset.why ? ` (${whole.dataset.why})` : ""}`;
  button.setAttribute("aria-expanded", String(visible));
}
