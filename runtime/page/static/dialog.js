// A part at large: with its heat map or as the camera saw it, enlarged, and the parts before and after it.

import { nameOf, whyOf } from "./banner.js";
import { element, show } from "./dom.js";
import { openLabel } from "./label.js";
import { pictureOf } from "./parts.js";
import { clock, t } from "./words.js";

const ZOOMS = [1, 1.5, 2, 3, 4, 6];
let part = null;
let among = () => [];
let kind = "overlay";
let zoom = 0;

// `others` gives the parts that can be gone through, oldest first.
export function enlarge(which, others) {
  part = which;
  among = others;
  zoom = 0;
  paint();
  openLabel(part);
  if (!element("large").open) element("large").showModal();
}

function paint() {
  const image = element("large-picture");
  element("large-view").hidden = !part.picture;
  element("large").dataset.part = part.key;
  if (part.picture) image.src = part.saved || pictureOf(part, kind);
  element("kinds").hidden = !part.picture || Boolean(part.saved);
  for (const name of ["raw", "overlay"]) element("show-" + name).setAttribute("aria-pressed", String(kind === name));
  const facts = [t("word." + part.verdict), part.verified ? "" : t("unverified"), whyOf(part), ...nameOf(part), part.source.startsWith(part.shown) ? "" : part.shown, part.source, clock(part.unix_s)];
  show("large-text", facts.filter(Boolean).join(" · "));
  enlargePicture();
  steps();
}

function enlargePicture() {
  element("large-picture").style.setProperty("--zoom", String(ZOOMS[zoom]));
  element("zoom-out").disabled = zoom === 0;
  element("zoom-in").disabled = zoom === ZOOMS.length - 1;
}

function position() {
  return among().findIndex((one) => one.key === part.key);
}

// A part that is no longer listed stays open: its neighbours are those of its time.
function neighbour(step) {
  const all = among(), at = position();
  if (at >= 0) return all[at + step];
  return step > 0 ? all.find((one) => one.unix_s > part.unix_s) : all.findLast((one) => one.unix_s < part.unix_s);
}

export function steps() {
  if (!part) return;
  element("previous").disabled = !neighbour(-1);
  element("next").disabled = !neighbour(1);
}

function go(step) {
  const other = neighbour(step);
  if (other) enlarge(other, among);
}

function look(name) {
  kind = name;
  paint();
}

function scale(step) {
  const view = element("large-view"), before = ZOOMS[zoom];
  zoom = Math.min(Math.max(zoom + step, 0), ZOOMS.length - 1);
  enlargePicture();
  // The middle stays in the middle.
  const factor = ZOOMS[zoom] / before;
  view.scrollLeft = (view.scrollLeft + view.clientWidth / 2) * factor - view.clientWidth / 2;
  view.scrollTop = (view.scrollTop + view.clientHeight / 2) * factor - view.clientHeight / 2;
}

const KEYS = { ArrowLeft: () => go(-1), ArrowRight: () => go(1), "+": () => scale(1), "-": () => scale(-1), o: () => look(kind === "raw" ? "overlay" : "raw") };

element("previous").addEventListener("click", () => go(-1));
element("next").addEventListener("click", () => go(1));
element("zoom-in").addEventListener("click", () => scale(1));
element("zoom-out").addEventListener("click", () => scale(-1));
for (const name of ["raw", "overlay"]) element("show-" + name).addEventListener("click", () => look(name));
element("large").addEventListener("click", (event) => { if (event.target === element("large")) element("large").close(); });
element("large").addEventListener("keydown", (event) => {
  if (!event.target.matches("input, select") && event.key in KEYS) KEYS[event.key]();
});
