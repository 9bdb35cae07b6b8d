// Counters, cameras and outputs.

import { element, fixed, made, reconcile, show } from "./dom.js";
import { duration, t } from "./words.js";

export function showCounts(counts, state) {
  for (const [verdict, count] of Object.entries(counts)) show("n-" + verdict, String(count));
  show("frames", String(Object.values(counts).reduce((a, b) => a + b, 0)));
  show("fps", fixed(state.fps, 1));
  show("dropped", String(state.dropped));
  ["p50", "p95", "p99"].forEach((id, i) => show(id, fixed(state.latency_ms[i], state.latency_ms[i] < 1000 ? 1 : 0)));
}

function row() {
  const item = made("li");
  item.append(made("b"), made("span"), made("small"));
  return item;
}

function list(id, lines) {
  reconcile(element(id), lines, (line) => line.name, row, (item, line) => {
    item.className = line.kind;
    [line.word, " " + line.name, line.small].forEach((text, i) => {
      if (item.children[i].textContent !== text) item.children[i].textContent = text;
    });
  });
}

export function showHealth(runs) {
  list("cameras", runs.flatMap((run) => run.cameras.map((camera) => {
    const age = camera.age_s === null ? t("part.none") : t("last", { ago: duration(camera.age_s) });
    const errors = camera.errors ? t("errors", { n: camera.errors }) : "";
    const facts = [age, t("parts", { n: camera.results }), errors].filter(Boolean).join(", ");
    return { kind: camera.state, name: camera.shown, word: t("camera." + camera.state), small: facts + (camera.reason ? ": " + camera.reason : "") };
  })));
  const outputs = runs.flatMap((run) => run.outputs.map((output) => ({ ...output, shown: (run.name ? run.name + " " : "") + output.name })));
  element("has-outputs").hidden = outputs.length === 0;
  list("outputs", outputs.map((output) => {
    const failing = output.error !== "";
    const counts = [t("written", { n: output.written }), output.lost ? t("lost", { n: output.lost }) : "", output.waiting ? t("queued", { n: output.waiting }) : ""];
    const small = counts.filter(Boolean).join(", ") + (failing ? ": " + output.error : "");
    return { kind: failing ? "error" : "ok", name: output.shown, word: t(failing ? "output.failing" : "output.ok"), small };
  }));
}
