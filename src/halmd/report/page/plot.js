// --- plots ---------------------------------------------------------------------------------------
function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((s) => s >= raw);
  const found = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + 1e-9 * step; t += step) found.push(Number(t.toPrecision(10)));
  return found;
}
const OUTLINES = {
  square: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
  diamond: [[0, -1.35], [1.35, 0], [0, 1.35], [-1.35, 0]],
  triangle: [[0, -1.3], [1.2, 0.9], [-1.2, 0.9]],
  cross: [[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]],
  wedge: [[0, 1.3], [1.2, -0.9], [-1.2, -0.9]],
  star: Array.from({ length: 10 }, (_, k) => { const q = (k % 2 ? 0.6 : 1.5), a = (Math.PI * k) / 5 - Math.PI / 2; return [q * Math.cos(a), q * Math.sin(a)]; }),
};
function marker(shape, x, y, r, attributes) {
  const points = OUTLINES[shape];
  if (!points) return svg("circle", { cx: x, cy: y, r, ...attributes });
  return svg("polygon", { points: points.map(([a, b]) => `${(x + a * r).toFixed(1)},${(y + b * r).toFixed(1)}`).join(" "), ...attributes });
}
// items: {kind: band|line|points, x: [], y: [], low: [], high: [], colour, dash, shape, hollow, tips: []}
function plot(items, options) {
  const narrow = window.innerWidth < 640;
  const W = narrow ? 430 : options.width || 760, H = narrow ? 340 : options.height || 430, M = { left: 62, right: 16, top: options.top ? 44 : 14, bottom: 46 };
  const xs = [], ys = [];
  for (const item of items) {
    item.x.forEach((x, k) => {
      for (const list of [item.y, item.low, item.high]) if (list && Number.isFinite(list[k])) { xs.push(x); ys.push(list[k]); }
    });
  }
  const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot", role: "img", "aria-label": options.title });
  if (!xs.length) { root.append(svg("text", { x: W / 2, y: H / 2, "text-anchor": "middle" }, "nothing to draw")); return root; }
  const reach = (values, zero) => {
    let low = Math.min(...values), high = Math.max(...values);
    if (zero) low = Math.min(0, low);
    const pad = 0.05 * (high - low || Math.abs(high) || 1);
    return [zero && low === 0 ? 0 : low - pad, high + pad];
  };
  const [x0, x1] = reach(xs, options.zero), [y0, y1] = reach(ys, options.zero || options.floor);
  const X = (x) => M.left + ((x - x0) / (x1 - x0)) * (W - M.left - M.right);
  const Y = (y) => H - M.bottom - ((y - y0) / (y1 - y0)) * (H - M.top - M.bottom);
  const grid = svg("g", { stroke: "#e6eaef" }), names = svg("g");
  for (const t of ticks(x0, x1, W < 600 ? 5 : 7)) {
    grid.append(svg("line", { x1: X(t), x2: X(t), y1: M.top, y2: H - M.bottom }));
    names.append(svg("text", { x: X(t), y: H - M.bottom + 18, "text-anchor": "middle" }, t));
  }
  for (const t of ticks(y0, y1, 6)) {
    grid.append(svg("line", { x1: M.left, x2: W - M.right, y1: Y(t), y2: Y(t) }));
    names.append(svg("text", { x: M.left - 8, y: Y(t) + 4, "text-anchor": "end" }, options.yTick ? options.yTick(t) : t));
  }
  names.append(svg("text", { x: (M.left + W - M.right) / 2, y: H - 8, "text-anchor": "middle" }, options.x));
  names.append(svg("text", { x: 14, y: (M.top + H - M.bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${(M.top + H - M.bottom) / 2})` }, options.y));
  if (options.top) {
    for (const [at, text] of options.top.ticks) if (at >= x0 && at <= x1) names.append(svg("text", { x: X(at), y: M.top - 8, "text-anchor": "middle" }, text));
    names.append(svg("text", { x: (M.left + W - M.right) / 2, y: 14, "text-anchor": "middle" }, options.top.label));
  }
  const frame = svg("rect", { x: M.left, y: M.top, width: W - M.left - M.right, height: H - M.top - M.bottom, fill: "none", stroke: "#8a94a0" });
  root.append(grid, names);
  for (const item of items) root.append(drawn(item, X, Y));
  root.append(frame);
  return oneStop(root);
}
function drawn(item, X, Y) {
  const group = svg("g", { "data-kind": item.kind, "data-of": item.of || "" });
  const path = (list) => item.x.map((x, k) => [X(x), Y(list[k])]).filter(([, y]) => Number.isFinite(y)).map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`);
  if (item.kind === "band") {
    group.append(svg("polygon", { points: [...path(item.low), ...path(item.high).reverse()].join(" "), fill: item.colour, opacity: 0.15 }));
  } else if (item.kind === "line") {
    group.append(svg("polyline", { points: path(item.y).join(" "), fill: "none", stroke: item.colour, "stroke-width": item.width || 1.8, "stroke-dasharray": item.dash || "none" }));
  } else {
    item.x.forEach((x, k) => {
      if (!Number.isFinite(item.y[k])) return;
      if (item.low && Number.isFinite(item.low[k]) && Number.isFinite(item.high[k])) {
        group.append(svg("line", { x1: X(x), x2: X(x), y1: Y(item.low[k]), y2: Y(item.high[k]), stroke: item.colour, "stroke-width": 1.3 }));
      }
      const hollow = Array.isArray(item.hollow) ? item.hollow[k] : item.hollow;
      const point = marker(item.shape || "circle", X(x), Y(item.y[k]), item.size || 4.5, {
        fill: hollow ? "#fff" : item.colour, stroke: item.colour, "stroke-width": 1.4, role: "img", "aria-label": item.tips[k], "data-tip": item.tips[k], tabindex: -1 });
      group.append(point);
    });
  }
  return group;
}
function keyOf(look) {
  const root = svg("svg", { viewBox: "-8 -8 16 16", class: "key", "aria-hidden": "true" });
  root.append(marker(look.shape, 0, 0, 5, { fill: look.colour }));
  return root;
}
const legend = (look, name) => el("span", { class: "legend" }, keyOf(look), name);
