// The scores of the last parts over the limits.

import { element, locale } from "./dom.js";
import { t } from "./words.js";

const MOST = 300;
let scores = [];
let warnRatio = null;

export function forget() {
  scores = [];
}

export function addScores(some, warn) {
  const last = scores.length ? scores[scores.length - 1][0] : 0;
  scores = scores.concat(some.filter((score) => score[0] > last)).slice(-MOST);
  warnRatio = warn;
  draw();
}

export function draw() {
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
  const x = (i) => 5 + (i / (MOST - 1)) * (width - 40);
  pen.font = "12px system-ui, sans-serif";
  limits(pen, width, y, colour);
  pen.textAlign = "right";
  pen.fillStyle = colour("faint");
  for (const ratio of [0.125, 0.25, 0.5, 1, 2, 4, 8]) {
    if (Math.log2(ratio) >= lowest && Math.log2(ratio) <= highest) pen.fillText(ratio.toLocaleString(locale()) + " ×", width, y(ratio) + 4);
  }
  scores.forEach(([, ratio, verdict], i) => {
    pen.fillStyle = colour(verdict.toLowerCase() + "-ink");
    mark(pen, x(i + MOST - scores.length), ratio === null ? null : y(ratio), verdict, height);
  });
}

function limits(pen, width, y, colour) {
  const limit = (ratio, name, ink, below) => {
    pen.strokeStyle = pen.fillStyle = colour(ink);
    pen.setLineDash([5, 4]);
    pen.beginPath();
    pen.moveTo(0, y(ratio));
    pen.lineTo(width - 32, y(ratio));
    pen.stroke();
    pen.setLineDash([]);
    pen.fillText(name, 2, y(ratio) + below);
  };
  pen.textAlign = "left";
  limit(1, t("chart.limit"), "nok-ink", -4);
  if (warnRatio !== null && warnRatio < 1) limit(warnRatio, t("chart.warn"), "uncertain-ink", 13);
}

function mark(pen, at, y, verdict, height) {
  pen.beginPath();
  if (y === null) {
    pen.rect(at - 1.5, 2, 3, height - 6);
  } else if (verdict === "OK") {
    pen.arc(at, y, 2, 0, 7);
  } else {
    pen.moveTo(at, y - 5);
    pen.lineTo(at + 4.5, y + 3);
    pen.lineTo(at - 4.5, y + 3);
  }
  pen.fill();
}

new ResizeObserver(draw).observe(element("scores"));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
