"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
// Okabe and Ito's colours, which the colour-blind can tell apart.
const LATE = "#D55E00", GPU = "#0072B2";
const COLOUR = { "control": "#999999", "device busy": "#CC79A7", "device": "#009E73",
  "upload": "#56B4E9", "hold": "#F0E442", "queue": "#E69F00", "GPU": GPU, "download": "#56B4E9" };
const START = 0, DUE = 1, END = 2, OUTCOME = 3, BATCH = 4, GPU_TIME = 5, RATIO = 6, HOLD = 7,
  CLIENT = 8, DEVICE = 9, MODEL = 10, CLASS = 11, PHASES = 12;  // a request
const NUMBER = 0, LANE = 1, OF = 2, AT = 3, LENGTH = 4, MEMBERS = 5;  // a batch
const requests = data.requests, batches = data.batches, gpus = data.gpus.length;
const colours = data.kinds.map(kind => COLOUR[kind]);
const canvas = document.getElementById("c"), pen = canvas.getContext("2d");
const tip = document.getElementById("tip");

// Every request takes the highest lane that is free from its arrival to its end and deadline.
const lane = new Int32Array(requests.length), latest = new Float64Array(requests.length);
const life = r => Math.max(r[DUE], r[END]);
const lanes = (() => {
  const free = [];
  let last = 0;
  requests.forEach((r, i) => {
    let row = free.findIndex(end => end <= r[START]);
    if (row < 0) row = free.length;
    free[row] = r[START] + life(r) * 1.03;
    lane[i] = row;
    latest[i] = last = Math.max(last, r[START] + life(r));
  });
  return free.length;
})();
const lastEnd = latest[requests.length - 1];
const longestBatch = batches.reduce((most, b) => Math.max(most, b[LENGTH]), 0);
const longestPhase = requests.map(r => {
  const phases = r[PHASES];
  let most = -1, kind = 0;
  for (let p = 0, before = 0; p < phases.length; before = phases[p + 1], p += 2) {
    if (phases[p + 1] - before > most) [most, kind] = [phases[p + 1] - before, phases[p]];
  }
  return colours[kind];
});
const typical = requests.map(life).sort((a, b) => a - b)[requests.length >> 1] ;

// Requests under way over the whole run, and those that failed, for the strip at the bottom.
const BINS = 480, inside = new Float64Array(BINS + 1), failed = new Uint32Array(BINS);
const bin = t => Math.min(BINS - 1, Math.max(0, Math.floor(t / lastEnd * BINS)));
for (const r of requests) {
  inside[bin(r[START])] += 1;
  inside[bin(r[START] + r[END]) + 1] -= 1;
  if (r[OUTCOME] > 1) failed[bin(r[START] + r[END])] += 1;
}
for (let i = 1; i <= BINS; i++) inside[i] += inside[i - 1];
const mostInside = inside.reduce((most, n) => Math.max(most, n), 1);

let width = 0, height = 0, left = 0, right = 1e6, scroll = 0, hover = null, theme = {};
const LEFT = () => width < 600 ? 10 : 78;
const gpuHeight = () => Math.max(13, Math.min(26, height * 0.22 / gpus));
const gpuTop = 40, rowTop = () => gpuTop + gpus * gpuHeight() + 26;
const stripTop = () => height - 44, rowBottom = () => stripTop() - 12;
const rowHeight = () => Math.max(9, Math.min(24, (rowBottom() - rowTop()) / lanes));
const x = t => LEFT() + (t - left) / (right - left) * (width - LEFT() - 10);
const time = px => left + (px - LEFT()) / (width - LEFT() - 10) * (right - left);
const coarse = () => typical * (width / (right - left)) < 4;
const y = i => rowTop() + lane[i] * rowHeight() - scroll;

function look(from, to) {
  const span = Math.min(Math.max(to - from, 200), lastEnd * 1.02);
  left = Math.min(Math.max(from, -0.01 * lastEnd), lastEnd * 1.01 - span);
  right = left + span;
  const deep = lanes * rowHeight() - (rowBottom() - rowTop());
  scroll = Math.min(Math.max(scroll, 0), Math.max(0, deep));
  draw();
}
const zoom = (factor, at) => look(at - (at - left) * factor, at + (right - at) * factor);
let frame = 0;
function draw() {
  frame = frame || requestAnimationFrame(() => { frame = 0; paint(); });
}
// First index below length for which the test holds; false ones come before true ones.
function first(length, test) {
  let low = 0;
  for (let high = length; low < high;) {
    const middle = (low + high) >> 1;
    if (test(middle)) high = middle; else low = middle + 1;
  }
  return low;
}
const visible = () => [first(requests.length, i => latest[i] >= left),
  first(requests.length, i => requests[i][START] > right)];
const visibleBatches = () => [first(batches.length, i => batches[i][AT] + longestBatch >= left),
  first(batches.length, i => batches[i][AT] > right)];

function paint() {
  pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  fill(theme.paper, 0, 0, width, height);
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  paintAxis();
  clipped(gpuTop, rowTop() - 22, paintGpus);
  clipped(rowTop(), rowBottom(), paintRequests);
  paintLabels();
  paintStrip();
}
function clipped(top, bottom, inner) {
  pen.save();
  pen.beginPath();
  pen.rect(LEFT(), top, width - LEFT() - 10, bottom - top);
  pen.clip();
  inner();
  pen.restore();
}
function fill(colour, x0, y0, w, h) { pen.fillStyle = colour; pen.fillRect(x0, y0, w, h); }
function paintAxis() {
  const rough = (right - left) / Math.max(2, (width - LEFT()) / 90);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(m => m * power >= rough);
  const digits = Math.max(0, 6 - Math.floor(Math.log10(step) + 1e-9));
  pen.textAlign = "center";
  for (let t = Math.ceil(Math.max(0, left) / step) * step; t <= right; t += step) {
    fill(theme.line, Math.round(x(t)), 22, 1, rowBottom() - 22);
    pen.fillStyle = theme.soft;
    if (x(t) > LEFT() + 12 && x(t) < width - 30) pen.fillText((t / 1e6).toFixed(digits) + " s", x(t), 12);
  }
}
function paintLabels() {
  pen.textAlign = "left";
  pen.fillStyle = theme.soft;
  const small = LEFT() < 20;
  note("batches on the GPUs, with their members", LEFT(), 31);
  const more = coarse() ? ", coloured by the longest phase; zoom in for all"
    : small ? "" : `; up to ${lanes} beside each other`;
  note("requests under way, one bar each" + more, LEFT(), rowTop() - 11);
  if (!small) {
    pen.textAlign = "right";
    pen.fillStyle = theme.ink;
    data.gpus.forEach((name, gpu) => {
      pen.fillText(name.length > 11 ? name.slice(0, 9) + "…" + (gpu + 1) : name, LEFT() - 8,
        gpuTop + (gpu + 0.5) * gpuHeight());
    });
  }
  const shown = rowBottom() - rowTop(), deep = lanes * rowHeight();
  if (deep > shown + 1) {
    fill(theme.line, width - 6, rowTop(), 4, shown);
    fill(theme.soft, width - 6, rowTop() + scroll / deep * shown, 4, shown * shown / deep);
  }
}
function note(text, at, middle) {
  fill(theme.paper, at, middle - 8, pen.measureText(text).width + 6, 16);
  pen.fillStyle = theme.soft;
  pen.fillText(text, at, middle);
}
function paintGpus() {
  const h = gpuHeight(), [from, to] = visibleBatches();
  for (let gpu = 0; gpu < gpus; gpu++) {
    fill(theme.band, LEFT(), gpuTop + gpu * h + 1, width, h - 2);
  }
  pen.textAlign = "center";
  for (let i = from; i < to; i++) {
    const b = batches[i], x0 = x(b[AT]), x1 = x(b[AT] + b[LENGTH]), top = gpuTop + b[LANE] * h;
    fill(GPU, x0, top + 1, Math.max(0.6, x1 - x0 - (x1 - x0 > 4 ? 1 : 0)), h - 2);
    const members = String(b.length - MEMBERS), l = Math.max(x0, LEFT()), r = Math.min(x1, width);
    if (r - l > 7 * members.length + 4) {
      pen.fillStyle = "#fff";
      pen.fillText(members, (l + r) / 2, top + h / 2 + 0.5);
    }
    if (hover && hover.batch === i) outline(x0, top + 1, x1 - x0, h - 2);
  }
}
function outline(x0, top, w, h) {
  [pen.strokeStyle, pen.lineWidth] = [theme.ink, 2];
  pen.strokeRect(x0, top, Math.max(w, 2), h);
}
function paintRequests() {
  const h = rowHeight(), bar = Math.max(4, h - Math.min(5, 0.3 * h)), [from, to] = visible();
  const drawn = new Float64Array(lanes).fill(-1);
  for (let i = from; i < to; i++) {
    const r = requests[i], top = y(i);
    if (r[START] + life(r) < left || top > rowBottom() || top + h < rowTop()) continue;
    const x0 = x(r[START]), x1 = x(r[START] + r[END]), bad = r[OUTCOME] > 1;
    if (coarse()) {  // too small for phases
      if (!bad && x1 < drawn[lane[i]] + 0.5) continue;
      drawn[lane[i]] = x1;
      fill(bad ? LATE : longestPhase[i], x0, top, Math.max(x1 - x0, bad ? 1.2 : 0.5), bar);
      continue;
    }
    const due = x(r[START] + r[DUE]);
    if (due > x1) fill(theme.line, x1, top + bar / 2 - 0.5, due - x1, 1);
    let t = x0;
    const phases = r[PHASES];
    for (let p = 0; p < phases.length; p += 2) {
      const next = x(r[START] + phases[p + 1]);
      if (next > LEFT() && t < width && next - t > 0.1) {
        fill(colours[phases[p]], t, top, next - t, bar);
      }
      t = next;
    }
    if (r[OUTCOME] === 2) {  // what lies past the deadline, under the phases
      fill(LATE, due, top + bar * 0.45, Math.max(x1 - due, 1), bar * 0.55);
    } else if (r[OUTCOME] === 3) {
      cross(Math.max(x1, x0) + 4, top + bar / 2);
    }
    fill(bad ? LATE : theme.ink, due - 0.75, top - 1, 1.5, bar + 2);
    if (hover && (hover.request === i || hover.members && hover.members.has(i + 1))) {
      outline(x0, top, x1 - x0, bar);
    }
  }
}
function cross(at, middle) {
  [pen.strokeStyle, pen.lineWidth] = [LATE, 2];
  pen.beginPath();
  for (const [from, to] of [[-3, 3], [3, -3]]) {
    pen.moveTo(at - 3, middle + from);
    pen.lineTo(at + 3, middle + to);
  }
  pen.stroke();
}
const stripX = t => LEFT() + t / lastEnd * (width - LEFT() - 10);
function paintStrip() {
  const top = stripTop(), h = 34, wide = (width - LEFT() - 10) / BINS;
  fill(theme.band, LEFT(), top, width - LEFT() - 10, h);
  for (let i = 0; i < BINS; i++) {
    const tall = inside[i] / mostInside * (h - 4), at = LEFT() + i * wide;
    fill(theme.soft, at, top + h - tall, wide + 0.3, tall);
    if (failed[i]) fill(LATE, at, top + h - 5, Math.max(wide, 2), 5);
  }
  const l = Math.max(LEFT(), stripX(left)), r = Math.min(width - 10, stripX(right));
  pen.globalAlpha = 0.6;
  fill(theme.paper, LEFT(), top, l - LEFT(), h);
  fill(theme.paper, r, top, width - 10 - r, h);
  pen.globalAlpha = 1;
  outline(l, top, Math.max(r - l, 3), h);
  pen.textAlign = "right";
  pen.fillStyle = theme.ink;
  if (LEFT() > 20) pen.fillText("whole run", LEFT() - 8, top + h / 2);
}

function find(px, py) {
  const t = time(px);
  if (px < LEFT()) return null;
  if (py >= gpuTop && py < gpuTop + gpus * gpuHeight()) {
    const gpu = Math.floor((py - gpuTop) / gpuHeight()), [from, to] = visibleBatches();
    const found = near(from, to, i => batches[i][LANE] === gpu,
      i => [batches[i][AT], batches[i][AT] + batches[i][LENGTH]], t);
    return found < 0 ? null : { batch: found, members: new Set(batches[found].slice(MEMBERS)) };
  }
  if (py < rowTop() || py > rowBottom()) return null;
  const row = Math.floor((py - rowTop() + scroll) / rowHeight()), [from, to] = visible();
  const found = near(from, to, i => lane[i] === row,
    i => [requests[i][START], requests[i][START] + life(requests[i])], t);
  return found < 0 ? null : { request: found, batch: requests[found][BATCH] - 1 };
}
function near(from, to, fits, range, t) {
  let best = -1, least = 5 * (right - left) / width;
  for (let i = from; i < to; i++) {
    if (!fits(i)) continue;
    const [start, end] = range(i), away = Math.max(start - t, t - end, 0);
    if (away <= least) { least = away; best = i; }
  }
  return best;
}
const seconds = us => us >= 1e6 ? (us / 1e6).toFixed(2) + " s" : (us / 1e3).toPrecision(3) + " ms";
const safe = text => String(text).replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);
const line = (name, value, colour) => `<tr><td>${colour ? `<i style="background:${colour}"></i>`
  : ""}${safe(name)}</td><td class="n">${safe(value)}</td></tr>`;
const count = b => b.length - MEMBERS === 1 ? "1 request" : `${b.length - MEMBERS} requests`;
function describe(r, number) {
  const phases = r[PHASES], bad = r[OUTCOME] > 1, device = data.devices[r[DEVICE]];
  let text = `<b>Request ${number}</b>: <span class="${bad ? "late" : ""}">`
    + `${data.outcomes[r[OUTCOME]]}</span>, ${seconds(r[END])} of ${seconds(r[DUE])}<table>`;
  for (let p = 0, before = 0; p < phases.length; before = phases[p + 1], p += 2) {
    text += line(data.meanings[phases[p]], seconds(phases[p + 1] - before), colours[phases[p]]);
  }
  text += line("cloud share", (100 * r[RATIO]).toFixed(0) + "%")
    + line("may hold", (100 * r[HOLD]).toFixed(0) + "% of its slack");
  if (r[BATCH]) {
    const b = batches[r[BATCH] - 1];
    text += line("GPU seconds", seconds(r[GPU_TIME]))
      + line(`batch ${b[NUMBER]} on ${data.gpus[b[LANE]]}`, count(b));
  }
  return text + `</table>${safe(data.models[r[MODEL]])}, class ${safe(data.classes[r[CLASS]])}<br>`
    + `client ${r[CLIENT]}: ${safe(device[0])} (${safe(device[1])})<br>`
    + `arrived at ${(r[START] / 1e6).toFixed(3)} s`;
}
function describeBatch(b) {
  const members = b.slice(MEMBERS), few = members.slice(0, 12).join(", ");
  return `<b>Batch ${b[NUMBER]}</b> on ${safe(data.gpus[b[LANE]])}<table>`
    + line("served together", count(b)) + line("takes", seconds(b[LENGTH]))
    + line("starts at", (b[AT] / 1e6).toFixed(3) + " s") + `</table>${safe(data.models[b[OF]])}<br>`
    + `requests ${few}${members.length > 12 ? ", …" : ""}`;
}
function point(px, py) {
  const found = find(px, py);
  tip.style.display = found ? "block" : "none";
  if (found) {
    const own = found.request;
    tip.innerHTML = own === undefined ? describeBatch(batches[found.batch])
      : describe(requests[own], own + 1);
    const w = tip.offsetWidth, h = tip.offsetHeight, after = px + 16 + w < width;
    tip.style.left = Math.max(4, after ? px + 16 : Math.min(px - 16 - w, width - w - 4)) + "px";
    tip.style.top = (py + 14 + h < height ? py + 14 : Math.max(4, py - 14 - h)) + "px";
  }
  hover = found;
  draw();
}

const fingers = new Map();
let strip = false, moved = 0;
const at = event => [event.offsetX, event.offsetY];
const goTo = px => {
  const middle = (px - LEFT()) / (width - LEFT() - 10) * lastEnd, half = (right - left) / 2;
  look(middle - half, middle + half);
};
canvas.addEventListener("pointerdown", event => {
  if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, at(event));
  strip = event.offsetY >= stripTop() - 6;
  moved = 0;
  if (strip) goTo(event.offsetX);
});
canvas.addEventListener("pointermove", event => {
  const before = fingers.get(event.pointerId), now = at(event);
  if (!before) { if (event.pointerType === "mouse") point(...now); return; }
  moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
  if (moved < 5) return;
  const scale = (right - left) / (width - LEFT() - 10);
  canvas.classList.add("busy");
  tip.style.display = "none";
  if (strip) goTo(now[0]);
  else if (fingers.size === 1) {
    scroll -= now[1] - before[1];
    look(left - (now[0] - before[0]) * scale, right - (now[0] - before[0]) * scale);
  } else {
    const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
    const apart = Math.max(20, Math.hypot(before[0] - other[0], before[1] - other[1]));
    const wider = Math.max(20, Math.hypot(now[0] - other[0], now[1] - other[1]));
    zoom(apart / wider, time((now[0] + other[0]) / 2));
  }
  fingers.set(event.pointerId, now);
});
const lift = event => {
  if (fingers.delete(event.pointerId) && moved < 5 && !strip) point(...at(event));
  if (!fingers.size) canvas.classList.remove("busy");
};
canvas.addEventListener("pointerup", lift);
canvas.addEventListener("pointercancel", event => { moved = 9; lift(event); });
canvas.addEventListener("pointerleave", event => {
  if (event.pointerType === "mouse") { tip.style.display = "none"; hover = null; draw(); }
});
canvas.addEventListener("wheel", event => {
  event.preventDefault();
  tip.style.display = "none";
  const scale = (right - left) / width;
  const aside = event.shiftKey ? event.deltaX || event.deltaY : event.deltaX;
  if (Math.abs(aside) > Math.abs(event.deltaY) || event.shiftKey) {
    look(left + aside * scale, right + aside * scale);
  } else zoom(Math.exp(Math.max(-0.5, Math.min(0.5, event.deltaY * 0.0022))), time(event.offsetX));
}, { passive: false });
canvas.addEventListener("dblclick", event => zoom(0.4, time(event.offsetX)));
const press = { "+": () => zoom(0.6, (left + right) / 2), "=": () => press["+"](),
  "-": () => zoom(1 / 0.6, (left + right) / 2), "0": () => look(-0.01 * lastEnd, lastEnd * 1.01),
  "ArrowLeft": () => look(left - (right - left) / 5, right - (right - left) / 5),
  "ArrowRight": () => look(left + (right - left) / 5, right + (right - left) / 5),
  "ArrowUp": () => { scroll -= 60; look(left, right); },
  "ArrowDown": () => { scroll += 60; look(left, right); } };
addEventListener("keydown", event => {
  if (!press[event.key] || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  press[event.key]();
});
for (const [id, key] of [["in", "+"], ["out", "-"], ["all", "0"]]) {
  document.getElementById(id).addEventListener("click", press[key]);
}
function legend() {
  const rows = [["device computes", COLOUR.device],
    ["waits for its device", COLOUR["device busy"]], ["upload, download", COLOUR.upload],
    ["holds for companions", COLOUR.hold], ["waits for a GPU", COLOUR.queue],
    ["GPU computes", GPU], ["past its deadline", LATE]];
  document.getElementById("legend").innerHTML = rows.map(([name, colour]) =>
    `<li><i style="background:${colour}"></i>${name}</li>`).join("")
    + `<li><i class="mark"></i>deadline</li><li><span class="late">×</span> dropped</li>`;
}
function dress() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "ink", "soft", "line", "band"]) {
    theme[name] = style.getPropertyValue("--" + name).trim();
  }
  draw();
}
function resize() {
  const box = canvas.parentElement.getBoundingClientRect();
  [width, height] = [box.width, box.height];
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
  look(left, right);
}
legend();
dress();
right = Math.min(lastEnd * 1.02, typical * Math.max(3, document.body.clientWidth / 85));
new ResizeObserver(resize).observe(canvas.parentElement);
resize();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
