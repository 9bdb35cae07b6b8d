// What the page says, in the language of `words/<name>.json`.

import { locale } from "./dom.js";

let words = {};

async function read(name) {
  const answer = await fetch("words/" + name + ".json");
  if (!answer.ok) throw new Error(answer.statusText);
  return answer.json();
}

export async function speak(name) {
  words = await read(name);
  document.documentElement.lang = words["language.code"];
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t(node.dataset.label));
}

export function t(key, values = {}) {
  // Until the words are there nothing is said: names of words mean nothing to anybody.
  const text = key in words ? words[key] : Object.keys(words).length ? key : "";
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

export const has = (key) => key in words;

export const moment = (unixS) => new Date(unixS * 1000).toLocaleString(locale(), { hour12: false, dateStyle: "short", timeStyle: "medium" });

export const clock = (unixS) => new Date(unixS * 1000).toLocaleTimeString([], { hour12: false });

export function duration(seconds) {
  if (seconds < 90) return t("seconds", { n: Math.round(seconds) });
  return seconds < 5400 ? t("minutes", { n: Math.round(seconds / 60) }) : t("hours", { n: Math.round(seconds / 3600) });
}
