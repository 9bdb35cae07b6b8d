// Parts long gone: the pictures that the run, and those before it, have saved.

import { element, made, reconcile } from "./dom.js";
import { moment, t } from "./words.js";

let open = () => {};
let shown = [];

export const onPast = (act) => { open = act; };

export const past = () => [...shown].reverse();

export function offerPast(there) {
  element("past-open").hidden = !there;
}

async function read(beforeS) {
  const answer = await fetch("saved" + (beforeS ? "?before=" + beforeS.toFixed(3) : ""));
  return answer.ok ? answer.json() : [];
}

function part(one) {
  const address = "saved/" + encodeURIComponent(one.name);
  return { ...one, key: one.name, saved: address, base: "", picture: true, verified: true, ratio: null, fault: "", reason: "", part: "", trigger: "", shown: "" };
}

function card(one) {
  const button = made("button");
  button.type = "button";
  const picture = made("img");
  picture.loading = "lazy";
  picture.alt = "";
  picture.src = one.saved + "?small";
  const text = made("span");
  text.append(made("b", one.verdict, t("word." + one.verdict)), made("span", "", moment(one.unix_s)));
  button.append(picture, text);
  button.addEventListener("click", () => open(one));
  const item = made("li");
  item.append(button);
  return item;
}

async function show(beforeS, keep) {
  const found = (await read(beforeS)).map(part);
  shown = keep ? [...shown, ...found] : found;
  reconcile(element("past-list"), shown, (one) => one.key, card, () => {});
  element("past-none").hidden = shown.length > 0;
  element("past-more").hidden = found.length === 0;
}

function until() {
  const chosen = element("past-time").value;
  return chosen ? new Date(chosen).getTime() / 1000 : 0;
}

element("past-open").addEventListener("click", () => {
  element("past-time").value = "";
  element("past").showModal();
  show(0, false);
});
element("past-time").addEventListener("change", () => show(until(), false));
element("past-more").addEventListener("click", () => show(shown.at(-1).unix_s, true));
