// What the server says, shown; and told when it says nothing any more.

import { showBanner, showTroubles, stateOf } from "./banner.js";
import { addScores, forget as forgetScores } from "./chart.js";
import { enlarge, steps } from "./dialog.js";
import { element, show } from "./dom.js";
import { showCounts, showHealth } from "./health.js";
import { onJudge, showLabelling } from "./label.js";
import { offerPast, onPast, past } from "./past.js";
import { addParts, forget as forgetParts, listed, onPart } from "./parts.js";
import { beginScreen, setClock } from "./screen.js";
import { showShift } from "./shift.js";
import { forget as forgetTiles, onTile, present, presented, showTiles } from "./tiles.js";
import { t } from "./words.js";

const LOST_AFTER_MS = 4000;
let run = "";
let lastEventMs = Date.now();
let events = null;

function connect() {
  if (events) events.close();
  events = new EventSource("events");
  events.onmessage = (event) => {
    lastEventMs = Date.now();
    document.body.dataset.link = "up";
    show("link", t("link.up"));
    update(JSON.parse(event.data));
  };
}

function watchLink() {
  if (Date.now() - lastEventMs < LOST_AFTER_MS) return;
  document.body.dataset.link = "lost";
  show("link", t("link.lost"));
  show("word", t("word.SIGNAL"));
  element("verdict").classList.add("long");
  show("score", "");
  show("detail", t("link.old"));
  if (events.readyState === EventSource.CLOSED) connect();
}

const nameOf = (one, camera) => (one.name && (camera === "" || one.cameras.length < 2) ? one.name : [one.name, camera].filter(Boolean).join(" "));

// A run that does not answer has a tile, whether its cameras are known or not.
function camerasOf(one) {
  const known = one.cameras.length || !one.base ? one.cameras : [{ name: "", age_s: null, results: 0, errors: 0, reason: "", state: one.gone ? "gone" : "waiting" }];
  return one.gone ? known.map((camera) => ({ ...camera, state: "gone", reason: one.gone })) : known;
}

// Runs, their cameras and parts under names of their own.
function named(state) {
  const several = state.cameras.length + state.also.length > 1;
  const own = { ...state, name: state.also.length ? state.line : "", base: "", gone: "" };
  return [own, ...state.also.map((other, i) => ({ ...other, base: "also/" + i + "/" }))].map((one) => {
    const ours = (part) => ({ ...part, base: one.base, run: one.run, key: one.base + one.run + ":" + part.number, shown: several ? nameOf(one, part.camera) : "" });
    const shown = new Map(one.shown.map((part) => [part.camera, ours(part)]));
    const cameras = camerasOf(one).map((camera) => ({
      ...camera, key: one.base + camera.name, shown: nameOf(one, camera.name), triggered: one.triggered, part: shown.get(camera.name) || null,
    }));
    return { ...one, cameras, rejects: one.rejects.map(ours) };
  });
}

function update(state) {
  if (state.run !== run) {
    run = state.run;
    for (const forget of [forgetScores, forgetParts, forgetTiles]) forget();
  }
  const runs = named(state);
  // These are said once, all else again with the next event.
  addParts(runs.flatMap((one) => one.rejects).sort((a, b) => a.unix_s - b.unix_s || a.number - b.number));
  addScores(state.scores, state.warn_ratio);
  const cameras = runs.flatMap((one) => one.cameras);
  const paint = () => {
    const states = cameras.map((camera) => ({ camera, state: stateOf(camera) }));
    showBanner(states);
    showTiles(states);
    showTroubles(runs, states);
    showLabelling(state.labels, cameras.length === 1 ? presented(cameras[0].key) : null, run);
  };
  show("bundle", state.bundle);
  show("engine", state.engine);
  element("signed").hidden = !state.signed_by;
  show("signed", t("signed", { who: state.signed_by }));
  setClock(state.unix_s);
  show("line", state.line || "csflow");
  showCounts(state.shift.counts, state);
  showShift(state);
  offerPast(state.saved);
  showHealth(runs);
  present(cameras, paint);
  paint();
  steps();
}

function begin() {
  onPast((part) => enlarge(part, past));
  onPart((part) => enlarge(part, listed));
  onTile((part) => enlarge(part, () => [part]));
  onJudge((part) => enlarge(part, () => [part]));
  setInterval(watchLink, 500);
  connect();
}

beginScreen(begin);
