// The worst state of all cameras, readable at three metres; and what is wrong beside the parts, above it.

import { element, fixed, made, reconcile, show } from "./dom.js";
import { presented } from "./tiles.js";
import { duration, has, t } from "./words.js";

const RANK = { NONE: 0, OK: 1, UNCERTAIN: 2, NOK: 3, ERROR: 4, LOST: 5, SIGNAL: 6 };
const AWAY = ["LOST", "SIGNAL"];
const OLD_AFTER_S = 10;

export function stateOf(camera) {
  if (camera.state === "lost") return "LOST";
  if (camera.state === "gone") return "SIGNAL";
  const part = presented(camera.key);
  return part ? part.verdict : "NONE";
}

function ratioOf(part) {
  return part.ratio === null ? "" : t("ratio", { ratio: fixed(part.ratio, 2) });
}

export function nameOf(part) {
  return [part.part && t("part", { part: part.part }), part.trigger && t("trigger", { trigger: part.trigger })];
}

export function faultOf(part) {
  return part.fault && has("fault." + part.fault) ? t("fault." + part.fault) : "";
}

// The page's own words for a verdict: reasons of csflow speak of thresholds, people at the line of the limit.
export function whyOf(part) {
  if (part.verdict !== "ERROR") return ratioOf(part);
  return [faultOf(part), part.reason].filter(Boolean).join(": ");
}

export function showBanner(states) {
  const worst = states.reduce((a, b) => (RANK[b.state] > RANK[a.state] ? b : a), { state: "NONE", camera: null });
  const same = states.filter((one) => one.state === worst.state);
  const parts = same.map((one) => presented(one.camera.key));
  const unverified = states.some((one) => presented(one.camera.key)?.verified === false);
  document.body.dataset.verdict = worst.state;
  document.body.dataset.verified = unverified ? "no" : "yes";
  const word = t("word." + worst.state);
  show("word", word);
  element("verdict").classList.toggle("long", word.length > 5);
  document.title = word + (unverified ? " (" + t("unverified") + ")" : "") + " – " + (element("line").textContent || "csflow");
  const texts = states.length > 1 ? ofSeveral(same, parts) : ofOne(same[0], parts[0]);
  show("score", [unverified ? t("unverified") : "", texts[0]].filter(Boolean).join(", "));
  show("detail", texts[1]);
}

function ofOne(one, part) {
  const triggered = one && one.camera.triggered;
  if (one && AWAY.includes(one.state)) return [one.camera.shown, one.camera.reason];
  if (!part) return ["", triggered ? t("waiting.trigger") : t("waiting.part")];
  const old = part.age_s > OLD_AFTER_S ? t("last", { ago: duration(part.age_s) }) : "";
  const waits = triggered && part.age_s > OLD_AFTER_S ? t("waiting.trigger") : "";
  const ratio = part.verdict === "ERROR" ? "" : ratioOf(part);
  const more = part.verdict === "ERROR" ? whyOf(part) : fixed(part.latency_ms, 1) + " ms";
  return [[ratio, old, waits].filter(Boolean).join(", "), [...nameOf(part), more, part.verdict === "ERROR" ? "" : part.source].filter(Boolean).join(" · ")];
}

function ofSeveral(same, parts) {
  if (!same.length || same[0].state === "NONE") return ["", t("waiting.part")];
  if (same[0].state === "OK") return [t("cameras.all", { n: same.length }), parts.flatMap((part) => nameOf(part)).filter(Boolean).join(" · ")];
  const names = same.map((one) => one.camera.shown).join(", ");
  const whys = same.map((one, i) => {
    const why = AWAY.includes(one.state) ? one.camera.reason : [whyOf(parts[i]), ...nameOf(parts[i])].filter(Boolean).join(" · ");
    return same.length > 1 ? one.camera.shown + ": " + why : why;
  });
  return [names, whys.join("\n")];
}

export function showTroubles(runs, states) {
  const troubles = [];
  const say = (kind, text) => troubles.push({ kind, text });
  for (const run of runs) {
    for (const output of run.outputs.filter((one) => one.error !== "")) {
      say("lost", of(run, t("trouble.output", { name: output.name, why: output.error, lost: output.lost })));
    }
  }
  const silent = states.filter(({ camera }) => camera.state === "silent" && camera.results).map(({ camera }) => camera.shown);
  if (silent.length) say("warn", t("trouble.silent", { names: silent.join(", ") }));
  for (const run of runs) {
    if (run.distrust) say("warn", of(run, t("trouble.unverified", { why: run.distrust })));
    if (run.unsigned) say("warn", of(run, t("trouble.unsigned")));
  }
  element("troubles").hidden = !troubles.length;
  reconcile(element("troubles"), troubles, (one) => one.kind + one.text, bar, () => {});
}

function bar(one) {
  const item = made("li", one.kind);
  item.append(made("span", "", one.text));
  return item;
}

const of = (run, text) => (run.name ? run.name + ": " + text : text);
