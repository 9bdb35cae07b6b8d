// How the page looks here: language, brightness, kiosk; kept in this browser.

import { draw } from "./chart.js";
import { element } from "./dom.js";
import { clock, speak, t } from "./words.js";

const KIOSK_CLOSES_MS = 60000;
const MODES = ["system", "light", "dark", "night"];
const kept = (name) => localStorage.getItem("csflow-" + name) || "";
let aheadMs = null;

// The line's clock, not that of the screen.
export function setClock(unixS) {
  aheadMs = unixS * 1000 - Date.now();
  tick();
}

function tick() {
  if (aheadMs !== null) element("clock").textContent = clock((Date.now() + aheadMs) / 1000);
}

function look(mode) {
  document.documentElement.dataset.mode = MODES.includes(mode) ? mode : "system";
  draw();
}

async function languages() {
  const answer = await fetch("words/index.json");
  const index = await answer.json();
  const wished = [kept("language"), index.default, navigator.language.slice(0, 2), "en"];
  const name = wished.find((one) => one in index.languages);
  for (const [key, text] of Object.entries(index.languages)) element("language").append(new Option(text, key, false, key === name));
  await speak(name);
}

export async function beginScreen(then) {
  look(kept("mode"));
  await languages();
  for (const mode of MODES) element("mode").append(new Option(t("mode." + mode), mode, false, mode === document.documentElement.dataset.mode));
  element("mode").addEventListener("change", () => {
    localStorage.setItem("csflow-mode", element("mode").value);
    look(element("mode").value);
  });
  element("language").addEventListener("change", () => {
    localStorage.setItem("csflow-language", element("language").value);
    location.reload();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!element("menu").contains(event.target)) element("menu").open = false;
  });
  if (new URLSearchParams(location.search).has("kiosk")) kiosk();
  setInterval(tick, 1000);
  then();
}

// Nobody is there to close what somebody has opened, and nothing is to be marked, dragged or saved.
function kiosk() {
  document.body.classList.add("kiosk");
  let touchedMs = Date.now();
  for (const kind of ["pointerdown", "keydown", "input"]) window.addEventListener(kind, () => { touchedMs = Date.now(); }, true);
  for (const kind of ["contextmenu", "dragstart"]) window.addEventListener(kind, (event) => event.preventDefault());
  setInterval(() => {
    if (Date.now() - touchedMs < KIOSK_CLOSES_MS) return;
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  }, 1000);
}
