// The operator's word on a part.

import { element, show } from "./dom.js";
import { t } from "./words.js";

let labelling = null;
let run = "";
let shownPart = null;
let judge = () => {};
let openedPart = null;

export const onJudge = (act) => { judge = act; };

export async function post(path, body) {
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error((await answer.text()) || answer.statusText);
  return answer.json();
}

export function showLabelling(labels, shown, ofRun) {
  labelling = labels || null;
  shownPart = shown;
  run = ofRun;
  if (!labelling) return;
  const overruled = labelling.overruled ? t("labels.overruled", { n: labelling.overruled }) : "";
  show("labels", [t("labels", { n: labelling.labels }), overruled].filter(Boolean).join(", "));
  element("judge").hidden = !labelling.operator || !canBeLabelled(shown);
}

function canBeLabelled(part) {
  return Boolean(part && part.picture && !part.base && !part.saved && ["OK", "NOK", "UNCERTAIN"].includes(part.verdict));
}

export async function openLabel(part) {
  openedPart = part;
  const able = labelling !== null && labelling.operator && canBeLabelled(part);
  element("word-on-it").hidden = !able;
  element("said").textContent = "";
  if (!able) return;
  const form = element("word-on-it");
  form.reset();
  form.by.value = localStorage.getItem("csflow-operator") || "";
  const right = { OK: "good", NOK: "defective" }[part.verdict];
  for (const kind of ["good", "defective"]) {
    const judged = right === undefined ? "" : t(right === kind ? "label.right" : "label.wrong") + ": ";
    show("is-" + kind, judged + t("label." + kind));
  }
  showKind();
  try {
    await post("open/" + part.number, {});
  } catch (error) {
    if (openedPart === part) tellLabel(error.message, true);
  }
}

function showKind() {
  const kind = element("word-on-it").kind.value;
  element("defect-row").hidden = kind !== "defective";
  element("use-row").hidden = kind !== "good";
}

function tellLabel(text, failed) {
  element("said").textContent = text;
  element("said").className = failed ? "failed" : "";
}

async function sendLabel(event) {
  event.preventDefault();
  const form = element("word-on-it"), part = openedPart, good = form.kind.value === "good";
  localStorage.setItem("csflow-operator", form.by.value);
  const word = { run, good, reason: form.reason.value, by: form.by.value, defect: good ? "" : form.defect.value, use: good ? form.use.value : "test" };
  form.keep.disabled = true;
  try {
    const made = await post("label/" + part.number, word);
    tellLabel(t(made.overruled ? "label.overruled" : "label.kept", { where: made.picture }), false);
  } catch (error) {
    tellLabel(t("label.failed", { why: error.message }), true);
  } finally {
    form.keep.disabled = false;
  }
}

element("word-on-it").addEventListener("submit", sendLabel);
element("word-on-it").addEventListener("change", showKind);
element("judge").addEventListener("click", () => judge(shownPart));
