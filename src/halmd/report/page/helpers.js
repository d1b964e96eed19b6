const DATA = JSON.parse(document.getElementById("data").textContent);
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
const SHAPES = ["circle", "square", "diamond", "triangle", "cross"];
const NS = "http://www.w3.org/2000/svg";
const MATERIALS = DATA.materials.map((m, k) => ({ ...m, k, colour: COLOURS[k % 6], shape: SHAPES[Math.floor(k / 6) % 5] }));
const byId = (id) => document.getElementById(id);

// --- small helpers -------------------------------------------------------------------------------
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
function svg(tag, attributes = {}, text = null) {
  const node = document.createElementNS(NS, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  return node;
}
function formula(text) {
  const parts = text.split(/(?<=[A-Za-z)\]])([\d./]+)/);
  return el("span", {}, ...parts.map((part, k) => (k % 2 ? el("sub", {}, part) : part)));
}
function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e4 || size < 1e-3) {
    const [mantissa, power] = value.toExponential(digits - 1).split("e");
    const up = String(Number(power)).replace(/[-\d]/g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]));
    return `${mantissa}·10${up}`;
  }
  return String(Number(value.toPrecision(digits)));
}
const interval = (low, high, scale = 1, digits = 3) => `${number(scale * low, digits)} to ${number(scale * high, digits)}`;
const words = (text) => (text || "").replaceAll("_", " ");
const log10 = Math.log10;

// --- what a number is, and how it was made ----------------------------------------------------------
// Shown on hover, on focus and on touch: a title would be lost on keyboards and phones.
const TIP = el("div", { id: "tip", role: "status", hidden: "" });
document.body.append(TIP);
function tipped(tip) { return { "data-tip": tip, "aria-description": tip, tabindex: -1 }; }
function showTip(node) {
  TIP.textContent = node.dataset.tip;
  TIP.hidden = false;
  const at = node.getBoundingClientRect(), size = TIP.getBoundingClientRect(), edge = document.documentElement.clientWidth;
  TIP.style.left = `${Math.max(8, Math.min(at.left, edge - size.width - 8))}px`;
  TIP.style.top = `${at.bottom + size.height + 8 < window.innerHeight ? at.bottom + 6 : Math.max(4, at.top - size.height - 6)}px`;
}
// What has the focus keeps its tip: focus scrolls, and a scroll slides other things under the pointer.
let kept = null;
const restTip = () => { if (kept) showTip(kept); else TIP.hidden = true; };
document.addEventListener("pointerover", (event) => {
  const node = event.target.closest("[data-tip]");
  if (node) showTip(node); else restTip();
});
document.addEventListener("focusin", (event) => { kept = event.target.closest("[data-tip]"); restTip(); });
document.addEventListener("focusout", () => { kept = null; restTip(); });
window.addEventListener("scroll", () => { if (!TIP.hidden) restTip(); }, { passive: true, capture: true });
// One stop of the tab key for each table and plot; arrow keys go on from there.
function oneStop(group) {
  const first = group.querySelector("[data-tip]");
  if (first) first.setAttribute("tabindex", 0);
  return group;
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { kept = null; restTip(); return; }
  const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
  const group = by && event.target.matches("[data-tip]") && event.target.closest("table, svg.plot, .trio, ul");
  if (!group) return;
  const all = [...group.querySelectorAll("[data-tip]")], next = all[all.indexOf(event.target) + by];
  if (!next) return;
  event.preventDefault();
  event.target.setAttribute("tabindex", -1);
  next.setAttribute("tabindex", 0);
  next.focus();
});
function valueCell(text, below, tip) { return el("span", tipped(tip), text, below ? el("small", {}, below) : null); }
// columns: [name, cell(row), tip of the column, class]; attributes: {caption} or {label}
function table(columns, rows, attributes = {}) {
  return el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": attributes.caption || attributes.label },
    oneStop(el("table", {}, attributes.caption ? el("caption", {}, attributes.caption) : null,
      el("thead", {}, el("tr", {}, ...columns.map(([name, , tip, kind]) => el("th", { scope: "col", class: kind }, el("span", tipped(tip), name))))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...columns.map(([, cell, , kind]) => el("td", { class: kind }, cell(row) || "–"))))))));
}
