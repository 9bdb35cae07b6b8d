// Draws in pixels of the picture; the server makes of it what a bundle holds.
const at = (id) => document.getElementById(id);
const board = at("board");
const NEAR = 14; // px of the screen to the first corner that close a polygon
const HINTS = {
  roi: "Drag a rectangle: the model gets this part of the picture and nothing else.",
  box: "Drag a rectangle over what is to be ignored.",
  polygon: "Tap corner after corner around what is to be ignored; tap the first one again to close.",
};
let size = { width: 1, height: 1 };
let roi = null;
let areas = [];
let draft = []; // corners of a polygon that is open, or the two of a rectangle that is dragged
let dragging = false;
let past = []; // states before each step

const tool = () => document.querySelector("#tools input:checked").value;
const set = (node, values) => { for (const [name, value] of Object.entries(values)) node.setAttribute(name, value); };
const corners = (points) => points.map((p) => p.join(",")).join(" ");
const boxOf = ([a, b]) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
const cornersOf = ([x, y, w, h]) => [[x, y], [x + w, y], [x + w, y + h], [x, y + h]];

function say(text, kind = "") {
  at("hint").textContent = text;
  at("hint").className = kind;
}

function spot(event) {
  const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(board.getScreenCTM().inverse());
  const within = (value, most) => Math.min(Math.max(Math.round(value), 0), most);
  return [within(p.x, size.width), within(p.y, size.height)];
}

function remember() {
  past.push({ roi, areas: [...areas] });
}

function show() {
  const frame = roi ?? [0, 0, size.width, size.height];
  const box = { x: frame[0], y: frame[1], width: frame[2], height: frame[3] };
  set(at("inside"), box);
  set(at("frame"), box);
  at("frame").style.display = roi ? "" : "none";
  at("areas").replaceChildren(...areas.map((points) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
    set(node, { class: "area", points: corners(points) });
    return node;
  }));
  const open = tool() === "polygon" || draft.length < 2 ? draft : cornersOf(boxOf(draft));
  set(at("draft"), { points: corners(open) });
  at("close-polygon").disabled = tool() !== "polygon" || draft.length < 3;
  at("undo").disabled = past.length === 0 && draft.length === 0;
  at("clear").disabled = roi === null && areas.length === 0 && draft.length === 0;
}

function closePolygon() {
  if (draft.length < 3) return;
  remember();
  areas.push(draft);
  draft = [];
  show();
}

function press(event) {
  if (!event.isPrimary || event.button !== 0) return;
  event.preventDefault();
  say(HINTS[tool()]);
  const point = spot(event);
  if (tool() !== "polygon") {
    board.setPointerCapture(event.pointerId);
    dragging = true;
    draft = [point, point];
  } else if (draft.length >= 3 && nearFirst(event)) {
    closePolygon();
  } else {
    draft.push(point);
  }
  show();
}

function nearFirst(event) {
  const first = new DOMPoint(...draft[0]).matrixTransform(board.getScreenCTM());
  return Math.hypot(first.x - event.clientX, first.y - event.clientY) <= NEAR;
}

function move(event) {
  if (!dragging || !event.isPrimary) return;
  draft[1] = spot(event);
  show();
}

function release(event) {
  if (!dragging || !event.isPrimary) return;
  dragging = false;
  const box = boxOf(draft);
  draft = [];
  if (box[2] >= 2 && box[3] >= 2) {
    remember();
    if (tool() === "roi") roi = box;
    else areas.push(cornersOf(box));
  }
  show();
}

function undo() {
  if (draft.length > 0) draft.pop();
  else if (past.length > 0) ({ roi, areas } = past.pop());
  show();
}

function clear() {
  remember();
  [roi, areas, draft] = [null, [], []];
  show();
}

async function save() {
  if (draft.length > 0) {
    say("A polygon is open: close it, or undo its corners.", "failed");
    return;
  }
  try {
    const answer = await fetch("save", { method: "POST", body: JSON.stringify({ roi, polygons: areas }) });
    say(await answer.text(), answer.ok ? "saved" : "failed");
  } catch {
    say("csflow has ended: nothing was saved. Start 'csflow roi' again.", "failed");
  }
}

board.addEventListener("pointerdown", press);
board.addEventListener("pointermove", move);
board.addEventListener("pointerup", release);
board.addEventListener("pointercancel", () => { dragging = false; draft = []; show(); });
at("tools").addEventListener("change", () => { draft = []; say(HINTS[tool()]); show(); });
at("close-polygon").addEventListener("click", closePolygon);
at("undo").addEventListener("click", undo);
at("clear").addEventListener("click", clear);
at("save").addEventListener("click", save);

const start = await (await fetch("start")).json();
size = start;
roi = start.roi;
areas = start.areas.map(cornersOf);
set(board, { viewBox: `0 0 ${size.width} ${size.height}` });
for (const node of [at("picture"), ...document.querySelectorAll(".all")]) set(node, { x: 0, y: 0, width: size.width, height: size.height });
const step = Math.max(size.width, size.height) / 60;
set(at("hatch"), { width: step, height: step });
set(document.querySelector(".stripe"), { d: `M0,${step} L${step},0`, "stroke-width": step / 5 });
say(HINTS[tool()]);
show();
document.body.dataset.ready = "yes";
