// A tile a camera. Verdict and picture change together: one part's verdict over another part's picture would be a lie.

import { element, fill, fixed, made, reconcile } from "./dom.js";
import { pictureOf } from "./parts.js";
import { t } from "./words.js";

const PICTURE_MS = 2000;
const tiles = new Map();
let open = () => {};

export const onTile = (act) => { open = act; };

class Tile {
  constructor(key) {
    this.key = key;
    this.part = null;
    this.pending = null;
    this.node = made("button", "tile");
    this.node.type = "button";
    this.image = made("img");
    this.image.hidden = true;
    this.image.alt = "";
    this.nothing = made("i", "", t("picture.none"));
    this.word = made("b");
    this.name = made("span", "name");
    this.said = made("span", "said");
    const bar = made("span", "bar");
    bar.append(this.word, this.name, this.said);
    this.node.append(this.image, this.nothing, bar);
    this.node.addEventListener("click", () => { if (this.part && this.part.drawn) open(this.part); });
  }

  // `part` is null before the first.
  present(part) {
    if (this.pending) return;
    if (!part || (this.part && part.key === this.part.key)) {
      this.part = part && { ...part, drawn: this.part.drawn };
      return;
    }
    this.pending = part;
    if (!part.picture) {
      this.finish(part, "", t("picture.missing", { why: part.reason }));
      return;
    }
    const picture = new Image();
    const source = pictureOf(part, "overlay");
    picture.onload = () => this.finish(part, source, "");
    picture.onerror = () => this.finish(part, "", t("picture.odd"));
    setTimeout(() => this.finish(part, "", t("picture.late")), PICTURE_MS);
    picture.src = source;
  }

  finish(part, source, text) {
    if (this.pending !== part) return;
    this.pending = null;
    this.part = { ...part, drawn: Boolean(source) };
    if (source) this.image.src = source;
    this.image.hidden = !source;
    fill(this.nothing, text);
    changed();
  }

  label(camera, state) {
    this.node.dataset.state = state;
    this.node.dataset.verified = this.part && !this.part.verified ? "no" : "yes";
    fill(this.word, t("word." + state));
    fill(this.name, camera.shown);
    const part = this.part;
    const ratio = part && part.ratio !== null ? fixed(part.ratio, 2) + " ×" : "";
    fill(this.said, ["LOST", "SIGNAL"].includes(state) ? camera.reason : [ratio, part ? part.part : ""].filter(Boolean).join(" · "));
  }
}

let changed = () => {};

// Gives the cameras, each with the part whose picture is shown. `then` is called when one shows another.
export function present(cameras, then) {
  changed = then;
  for (const key of tiles.keys()) if (!cameras.some((camera) => camera.key === key)) tiles.delete(key);
  for (const camera of cameras) if (!tiles.has(camera.key)) tiles.set(camera.key, new Tile(camera.key));
  // One without a picture is painted at once, with the tiles of all.
  for (const camera of cameras) tiles.get(camera.key).present(camera.part);
}

export const presented = (key) => (tiles.has(key) ? tiles.get(key).part : null);

export function showTiles(states) {
  element("tiles").dataset.count = String(Math.min(states.length, 16));
  reconcile(element("tiles"), states, (one) => one.camera.key, (one) => tiles.get(one.camera.key).node, (_, one) => {
    tiles.get(one.camera.key).label(one.camera, one.state);
  });
}

export const forget = () => tiles.clear();
