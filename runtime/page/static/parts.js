// The last parts that were not OK. A part keeps its place until a later one takes it: what a finger aims at does not move.

import { element, fill, made } from "./dom.js";
import { clock, t } from "./words.js";

const PLACES = 12;
const MOST = 60;
const REACTION_MS = 350;
let parts = [];
let waiting = null;
let pressed = false;
let next = 0;
let open = () => {};

export const onPart = (act) => { open = act; };

export const listed = () => parts;

export const pictureOf = (part, kind) => part.base + "part/" + part.number + "/" + kind + ".jpg?" + part.run;

export function forget() {
  parts = [];
  waiting = null;
  next = 0;
  element("rejects").replaceChildren();
}

function place() {
  const item = made("li");
  const button = made("button");
  button.type = "button";
  const picture = made("img");
  picture.alt = "";
  const nothing = made("i");
  const text = made("span");
  const verdict = made("b");
  const when = made("span");
  text.append(verdict, when);
  button.append(picture, nothing, text);
  item.append(button);
  const made_ = { item, button, picture, nothing, verdict, when, part: null, former: null, since: -REACTION_MS };
  button.addEventListener("click", () => {
    // Whoever taps within the time that a hand takes meant what was here before.
    const late = performance.now() - made_.since < REACTION_MS;
    open(late && made_.former ? made_.former : made_.part);
  });
  item.place = made_;
  return item;
}

function put(at, part) {
  at.former = at.part;
  at.part = part;
  at.since = performance.now();
  at.item.dataset.key = part.key;
  at.picture.hidden = !part.picture;
  at.nothing.hidden = part.picture;
  fill(at.nothing, "–");
  if (part.picture) at.picture.src = pictureOf(part, "thumbnail");
  at.verdict.className = part.verdict;
  fill(at.verdict, t("word." + part.verdict) + (part.verified ? "" : " ?"));
  fill(at.when, clock(part.unix_s));
}

// New ones, oldest first. While a finger is down nothing changes under it.
export function addParts(some) {
  waiting = [...(waiting || []), ...some];
  if (!pressed) take();
}

function take() {
  if (!waiting || !waiting.length) return;
  const known = new Set(parts.map((part) => part.key));
  const fresh = waiting.filter((part) => !known.has(part.key)).slice(-MOST);
  waiting = null;
  if (!fresh.length) return;
  parts = [...parts, ...fresh].sort((a, b) => a.unix_s - b.unix_s || a.number - b.number).slice(-MOST);
  const list = element("rejects");
  for (const part of fresh.slice(-PLACES)) {
    if (list.children.length < PLACES) list.append(place());
    put(list.children[next].place, part);
    next = (next + 1) % PLACES;
  }
  for (const item of list.children) item.classList.toggle("newest", item.place.part === fresh.at(-1));
  element("none").hidden = parts.length > 0;
}

element("rejects").addEventListener("pointerdown", () => { pressed = true; });
for (const end of ["pointerup", "pointercancel"]) {
  // The click comes after the finger has left.
  window.addEventListener(end, () => setTimeout(() => { pressed = false; take(); }, 0));
}
