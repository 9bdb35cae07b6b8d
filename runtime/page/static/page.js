"use strict";

const LOST_AFTER_MS = 4000;
const OLD_AFTER_S = 10;
const PICTURE_MS = 2000;
const MOST_SCORES = 300;
const element = (id) => document.getElementById(id);
const show = (id, text) => { if (element(id).textContent !== text) element(id).textContent = text; };
const fixed = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));

let run = "";
let scores = [];
let warnRatio = null;
let shownNumber = -1;
let pending = null;
let rejectNumbers = "";
let presented = null;
let lastEventMs = Date.now();
let events = null;

function connect() {
  if (events) events.close();
  events = new EventSource("events");
  events.onmessage = (event) => {
    lastEventMs = Date.now();
    document.body.dataset.link = "up";
    show("link", "live");
    update(JSON.parse(event.data));
  };
}

function watchLink() {
  if (Date.now() - lastEventMs < LOST_AFTER_MS) return;
  document.body.dataset.link = "lost";
  show("link", "no connection to csflow");
  show("word", "NO SIGNAL");
  element("verdict").classList.add("long");
  show("score", "");
  show("detail", "What is below is old. Trying to connect again.");
  if (events.readyState === EventSource.CLOSED) connect();
}

function update(state) {
  if (state.run !== run) {
    run = state.run;
    scores = [];
    shownNumber = -1;
    pending = null;
    rejectNumbers = "";
    presented = null;
  }
  const last = scores.length ? scores[scores.length - 1][0] : 0;
  scores = scores.concat(state.scores.filter((s) => s[0] > last)).slice(-MOST_SCORES);
  warnRatio = state.warn_ratio;
  show("bundle", state.bundle);
  show("engine", state.engine);
  element("distrust").hidden = state.distrust === "";
  show("distrust", "NOT VERIFIED: " + state.distrust + ". No verdict here is proof of a good part.");
  for (const [verdict, count] of Object.entries(state.counts)) show("n-" + verdict, String(count));
  show("frames", String(state.frames));
  show("fps", fixed(state.fps, 1));
  show("dropped", String(state.dropped));
  ["p50", "p95", "p99"].forEach((id, i) => show(id, fixed(state.latency_ms[i], state.latency_ms[i] < 1000 ? 1 : 0)));
  present(state.shown);
  showHealth(state);
  showRejects(state.rejects);
  showLabelling(state.labels, presented);
  drawScores();
}

function showVerdict(shown) {
  document.body.dataset.verdict = shown ? shown.verdict : "NONE";
  const word = shown ? shown.verdict : "WAITING";
  const unverified = shown !== null && !shown.verified;
  document.body.dataset.verified = unverified ? "no" : "yes";
  show("word", word);
  element("verdict").classList.toggle("long", word.length > 5);
  document.title = word + (unverified ? " (not verified)" : "") + " – csflow";
  if (!shown) {
    show("score", "");
    show("detail", "for the first part");
    return;
  }
  const old = shown.age_s > OLD_AFTER_S ? "last part " + duration(shown.age_s) + " ago" : null;
  const ratio = shown.ratio === null ? null : fixed(shown.ratio, 2) + " × threshold";
  show("score", [unverified ? "NOT VERIFIED" : null, ratio, old].filter(Boolean).join(", "));
  show("detail", shown.verdict === "ERROR" ? shown.reason : fixed(shown.latency_ms, 1) + " ms · " + shown.source);
}

function duration(seconds) {
  if (seconds < 90) return Math.round(seconds) + " s";
  return seconds < 5400 ? Math.round(seconds / 60) + " min" : Math.round(seconds / 3600) + " h";
}

// Verdict and picture change together: one part's verdict over another part's picture would be a lie.
function present(shown) {
  if (pending) return;
  if (!shown || shown.number === shownNumber) {
    showVerdict(shown);
    return;
  }
  shownNumber = shown.number;
  pending = shown;
  const done = (source, text) => {
    if (pending !== shown) return;
    pending = null;
    if (source) element("frame").src = source;
    element("frame").hidden = !source;
    show("nopicture", text);
    presented = source ? shown : null;
    showVerdict(shown);
  };
  if (!shown.picture) {
    done("", "no picture: " + shown.reason);
    return;
  }
  const picture = new Image();
  picture.onload = () => done(picture.src, "");
  picture.onerror = () => done("", "this picture cannot be drawn");
  setTimeout(() => done("", "the picture does not come"), PICTURE_MS);
  picture.src = "frame/" + shown.number + ".jpg?" + run;
}

function line(className, name, word, small) {
  const item = document.createElement("li");
  item.className = className;
  const bold = document.createElement("b");
  bold.textContent = word;
  const rest = document.createElement("small");
  rest.textContent = small;
  item.append(bold, " " + name, rest);
  return item;
}

function showHealth(state) {
  element("cameras").replaceChildren(...state.cameras.map((camera) => {
    const age = camera.age_s === null ? "no part yet" : "last part " + duration(camera.age_s) + " ago";
    const errors = camera.errors ? ", " + camera.errors + " errors" : "";
    const reason = camera.reason ? ": " + camera.reason : "";
    return line(camera.state, camera.name, camera.state.toUpperCase(), age + ", " + camera.results + " parts" + errors + reason);
  }));
  element("has-outputs").hidden = state.outputs.length === 0;
  const failingFirst = [...state.outputs].sort((a, b) => (b.error !== "") - (a.error !== ""));
  element("outputs").replaceChildren(...failingFirst.map((output) => {
    const lost = output.lost ? ", " + output.lost + " lost" : "";
    const counts = output.written + " written" + lost + (output.waiting ? ", " + output.waiting + " waiting" : "");
    const failing = output.error !== "";
    return line(failing ? "error" : "ok", output.name, failing ? "FAILING" : "OK", counts + (failing ? ": " + output.error : ""));
  }));
}

function showRejects(rejects) {
  const numbers = run + rejects.map((r) => r.number).join();
  if (numbers === rejectNumbers) return;
  rejectNumbers = numbers;
  element("none").hidden = rejects.length > 0;
  element("rejects").replaceChildren(...rejects.map((reject) => {
    const button = document.createElement("button");
    const picture = document.createElement(reject.picture ? "img" : "i");
    if (reject.picture) {
      picture.src = "thumbnail/" + reject.number + ".jpg?" + run;
      picture.alt = "";
    } else {
      picture.textContent = "no picture";
    }
    const text = document.createElement("span");
    const verdict = document.createElement("b");
    verdict.className = reject.verdict;
    verdict.textContent = reject.verdict + (reject.verified ? "" : " ?");
    const when = document.createElement("span");
    when.textContent = new Date(reject.unix_s * 1000).toLocaleTimeString([], { hour12: false }) + (reject.ratio === null ? "" : " · " + fixed(reject.ratio, 2) + "\u00a0×");
    text.append(verdict, when);
    button.append(picture, text);
    button.onclick = () => enlarge(reject);
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

function enlarge(part, folder = "reject") {
  element("large-picture").hidden = !part.picture;
  if (part.picture) element("large-picture").src = folder + "/" + part.number + ".jpg?" + run;
  show("large-text", [part.verdict, part.verified ? "" : "NOT VERIFIED", part.reason, part.source].filter(Boolean).join(" · "));
  openLabel(part);
  element("large").showModal();
}

function openShown() {
  if (presented) enlarge(presented, "frame");
}

function drawScores() {
  const canvas = element("scores");
  const width = canvas.clientWidth, height = canvas.clientHeight, dense = window.devicePixelRatio || 1;
  if (!width || !height) return;
  canvas.width = width * dense;
  canvas.height = height * dense;
  const pen = canvas.getContext("2d");
  pen.scale(dense, dense);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue("--" + name);
  const ratios = scores.map((s) => s[1]).filter((r) => r !== null && r > 0);
  const lowest = Math.log2(Math.max(1 / 16, Math.min(0.5, ...ratios)));
  const highest = Math.log2(Math.min(16, Math.max(2, ...ratios)));
  const y = (ratio) => {
    const level = (Math.log2(Math.max(ratio, 1e-9)) - lowest) / (highest - lowest);
    return height - 6 - Math.min(Math.max(level, 0), 1) * (height - 14);
  };
  const x = (i) => 5 + (i / (MOST_SCORES - 1)) * (width - 40);
  pen.font = "12px system-ui, sans-serif";
  const threshold = (ratio, name, ink) => {
    pen.strokeStyle = pen.fillStyle = colour(ink);
    pen.setLineDash([5, 4]);
    pen.beginPath();
    pen.moveTo(0, y(ratio));
    pen.lineTo(width - 32, y(ratio));
    pen.stroke();
    pen.setLineDash([]);
    pen.fillText(name, 2, y(ratio) + (name === "warn" ? 13 : -4));
  };
  pen.textAlign = "right";
  pen.fillStyle = colour("faint");
  for (const ratio of [0.125, 0.25, 0.5, 1, 2, 4, 8]) {
    if (Math.log2(ratio) >= lowest && Math.log2(ratio) <= highest) pen.fillText(ratio + " ×", width, y(ratio) + 4);
  }
  pen.textAlign = "left";
  threshold(1, "reject", "nok-ink");
  if (warnRatio !== null && warnRatio < 1) threshold(warnRatio, "warn", "uncertain-ink");
  scores.forEach(([, ratio, verdict], i) => {
    const at = x(i + MOST_SCORES - scores.length);
    pen.fillStyle = colour(verdict.toLowerCase() + "-ink");
    pen.beginPath();
    if (ratio === null) {
      pen.rect(at - 1.5, 2, 3, height - 6);
    } else if (verdict === "OK") {
      pen.arc(at, y(ratio), 2, 0, 7);
    } else {
      pen.moveTo(at, y(ratio) - 5);
      pen.lineTo(at + 4.5, y(ratio) + 3);
      pen.lineTo(at - 4.5, y(ratio) + 3);
    }
    pen.fill();
  });
}

element("large").addEventListener("click", (event) => { if (event.target === element("large")) element("large").close(); });
new ResizeObserver(drawScores).observe(element("scores"));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawScores);
setInterval(watchLink, 500);
connect();
