"use strict";

const STEPS = ["lowered", "exposed", "verdict", "acknowledged"];
const LOST_MS = 4000;
const at = (id) => document.getElementById(id);

function made(tag, text, name) {
  const node = document.createElement(tag);
  node.textContent = text;
  if (name) node.className = name;
  return node;
}

function age(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}

// From step to step, in the order in which they happened; each segment has the colour of the step that ends it.
function bar(one, longest) {
  const cell = document.createElement("td");
  const line = made("div", "", "bar");
  let since = 0;
  const happened = STEPS.filter((step) => one[step] !== null).sort((a, b) => one[a] - one[b]);
  for (const step of happened) {
    const part = made("i", "", step);
    part.style.left = `${(100 * since) / longest}%`;
    part.style.width = `${(100 * (one[step] - since)) / longest}%`;
    part.title = `${step} after ${one[step]} ms`;
    line.append(part);
    since = one[step];
  }
  line.classList.toggle("over", since > longest);
  cell.append(line);
  return cell;
}

function showHandshakes(all) {
  // One that took very long must not press all others flat: it ends in dots.
  const ends = all.map((one) => Math.max(...STEPS.map((step) => one[step] ?? 0))).sort((a, b) => a - b);
  const longest = Math.max(1, Math.min(ends.at(-1) ?? 1, 3 * (ends[ends.length >> 1] ?? 1)));
  at("none").hidden = all.length > 0;
  at("handshakes").replaceChildren(...all.map((one) => {
    const row = document.createElement("tr");
    row.append(made("td", one.trigger_id), made("td", one.part_id), made("td", age(one.age_s)), bar(one, longest));
    for (const step of STEPS) row.append(made("td", one[step] === null ? "–" : one[step].toFixed(1)));
    row.append(made("td", one.word || "in work", one.word.split(/[ ,]/)[0]));
    return row;
  }));
}

function pairs(id, values) {
  const nodes = Object.entries(values).flatMap(([name, value]) => [made("dt", name.replaceAll("_", " ")), made("dd", value)]);
  at(id).replaceChildren(...nodes);
}

function bits(id, values) {
  at(id).replaceChildren(...values.map(([name, on]) => {
    const bit = made("span", name, on ? "on" : "");
    bit.setAttribute("aria-label", `${name} is ${on ? 1 : 0}`);
    return bit;
  }));
}

function items(id, texts) {
  at(id).replaceChildren(...texts.map((text) => made("li", text)));
}

function show(seen) {
  document.body.dataset.ready = seen.ready ? "yes" : "no";
  document.body.dataset.state = seen.state;
  at("boot").textContent = `boot ${seen.boot_id}, up ${age(seen.uptime_s)}`;
  at("state").textContent = seen.state === "READY" && !seen.ready ? "NOT READY" : seen.state;
  at("recipe").textContent = seen.recipe ? `recipe ${seen.recipe}` : "no recipe is ready";
  at("holder").textContent = seen.holder
    ? `${seen.holder} has control`
    : seen.control ? `nobody has control; ${seen.control} may take it` : "no adapter may command: control is not set in station.toml";
  items("why", seen.why);
  at("trouble").textContent = [seen.error && `ERROR: ${seen.error}`, seen.warning && `WARNING: ${seen.warning}`].filter(Boolean).join("; ");
  showHandshakes(seen.handshakes);
  at("complaints").replaceChildren(...(seen.complaints.length ? seen.complaints.map((one) => {
    const item = made("li", "");
    item.append(made("span", `${age(one.age_s)} ago`), one.text);
    return item;
  }) : [made("li", "nothing")]));
  bits("control", seen.control_bits);
  bits("status", seen.status_bits);
  pairs("orders", seen.orders);
  pairs("result", seen.result);
  pairs("counters", seen.counters);
  items("adapters", seen.adapters);
}

let heard = Date.now();
const events = new EventSource("events");
events.onmessage = (event) => {
  heard = Date.now();
  document.body.dataset.link = "up";
  at("link").textContent = "live";
  show(JSON.parse(event.data));
};
setInterval(() => {
  if (Date.now() - heard < LOST_MS) return;
  document.body.dataset.link = "lost";
  at("link").textContent = "NO SIGNAL";
}, 500);
