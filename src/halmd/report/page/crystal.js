// --- the crystal, and jumps in it -------------------------------------------------------------------
const ELEMENTS = { Li: ["#9b6fd0", 0.76], Na: ["#b58be6", 1.02], Cl: ["#3fae49", 1.81], Br: ["#a1502d", 1.96], I: ["#7c2fa0", 2.2], F: ["#8fd16a", 1.33], O: ["#d9302c", 1.4], S: ["#d9c22c", 1.84] };
const METALS = ["#4d8fb8", "#d9822b", "#5f9ea0", "#b0527c", "#7f7f3f", "#4a5fb0"];
function looks(symbols) {
  const metals = [...new Set(symbols)].filter((s) => !ELEMENTS[s]).sort();
  return (symbol) => ELEMENTS[symbol] || [METALS[metals.indexOf(symbol) % 6], 0.85];
}
const inCell = (cell, f) => [0, 1, 2].map((i) => f[0] * cell[0][i] + f[1] * cell[1][i] + f[2] * cell[2][i]);
function orderingScene(m, k) {
  const { cell, symbols, positions } = m.orderings[k];
  return { label: `ordering ${String(k).padStart(2, "0")} of ${m.orderings.length}, ${symbols.length} atoms`, cell, symbols, positions, sites: [], edges: [], atom: 0.55 };
}
// Widths go with rates: the widest edge is the busiest.
function networkScene(run) {
  const { cell, symbols, framework, kinds, sites, edges } = run.jumps.network;
  const names = [...new Set(kinds)], busiest = edges.length ? edges[0][6] : 1;
  const at = sites.map((site) => inCell(cell, site));
  return {
    label: `${sites.length} sites, ${edges.length} edges`, cell, symbols, atom: 0.22, positions: framework.map((f) => inCell(cell, f)),
    sites: sites.map((site, k) => ({ at: at[k], size: 0.3 + 0.45 * Math.sqrt(Math.min(1, site[3])), colour: COLOURS[names.indexOf(kinds[k]) % 6], shape: SHAPES[names.indexOf(kinds[k]) % 5] })),
    // Half from either end, so that a jump through a face leaves here and comes in there.
    edges: edges.flatMap(([from, to, a, b, c, , rate]) => {
      const shift = inCell(cell, [a, b, c]), way = [0, 1, 2].map((i) => (at[to][i] + shift[i] - at[from][i]) / 2), width = 1 + 6 * rate / busiest;
      return [[at[from], way], [at[to], way.map((x) => -x)]].map(([start, by]) => ({ start, end: start.map((x, i) => x + by[i]), width }));
    }),
  };
}
function viewer(name, scenes, look) {
  const canvas = el("canvas", { class: "crystal", tabindex: 0, role: "img", "aria-label": `${name}: turn with arrow keys or by dragging` });
  const label = el("span", { class: "soft", "aria-live": "polite" });
  let shown = 0, turn = [1, 0, 0, 0, 1, 0, 0, 0, 1], held = null;
  const rotate = (about, across) => {
    const [c, s, d, t] = [Math.cos(about), Math.sin(about), Math.cos(across), Math.sin(across)];
    const by = [c, 0, s, s * t, d, -c * t, -s * d, t, c * d], now = turn;
    turn = [0, 1, 2].flatMap((i) => [0, 1, 2].map((j) => [0, 1, 2].reduce((sum, k) => sum + by[3 * i + k] * now[3 * k + j], 0)));
  };
  rotate(0.5, -1.2);
  function draw() {
    const wide = canvas.clientWidth || 400, tall = canvas.clientHeight || 300, sharp = window.devicePixelRatio || 1;
    canvas.width = wide * sharp; canvas.height = tall * sharp;
    const pen = canvas.getContext("2d"); pen.scale(sharp, sharp);
    const { cell, symbols, positions, sites, edges, atom } = scenes[shown];
    const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => inCell(cell, [n & 1, (n >> 1) & 1, (n >> 2) & 1]));
    const centre = corners[7].map((x) => x / 2);
    const size = Math.max(...corners.map((c) => Math.hypot(...c.map((v, i) => v - centre[i])))) + 1.5;
    const scale = Math.min(wide, tall) / (2 * size);
    const seen = (p) => { const q = p.map((v, i) => v - centre[i]); return [0, 1, 2].map((i) => turn[3 * i] * q[0] + turn[3 * i + 1] * q[1] + turn[3 * i + 2] * q[2]); };
    const at = ([x, y]) => [wide / 2 + scale * x, tall / 2 - scale * y];
    const depth = (z) => 0.55 + 0.45 * (0.5 + z / (2 * size));
    pen.strokeStyle = "#8a94a0";
    corners.forEach((corner, n) => [1, 2, 4].forEach((bit) => { if (!(n & bit)) { pen.beginPath(); pen.moveTo(...at(seen(corner))); pen.lineTo(...at(seen(corners[n | bit]))); pen.stroke(); } }));
    const ball = (p, symbol) => () => {
      const [colour, radius] = look(symbol), [x, y] = at(p), r = Math.max(2, atom * radius * scale);
      const shade = pen.createRadialGradient(x - r / 3, y - r / 3, r / 8, x, y, r);
      shade.addColorStop(0, "#fff"); shade.addColorStop(0.35, colour); shade.addColorStop(1, colour);
      pen.globalAlpha = depth(p[2]);
      pen.fillStyle = shade; pen.beginPath(); pen.arc(x, y, r, 0, 2 * Math.PI); pen.fill();
      pen.globalAlpha = 1; pen.strokeStyle = "rgba(0,0,0,.35)"; pen.lineWidth = 0.6; pen.stroke();
    };
    const site = (p, { size: r, colour, shape }) => () => {
      const [x, y] = at(p), points = OUTLINES[shape];
      pen.globalAlpha = depth(p[2]); pen.fillStyle = colour; pen.strokeStyle = "#fff"; pen.lineWidth = 1;
      pen.beginPath();
      if (points) points.forEach(([a, b], k) => pen[k ? "lineTo" : "moveTo"](x + a * r * scale, y + b * r * scale));
      else pen.arc(x, y, r * scale, 0, 2 * Math.PI);
      pen.closePath(); pen.fill(); pen.stroke();
    };
    const edge = (p, q, width) => () => {
      pen.globalAlpha = depth((p[2] + q[2]) / 2); pen.strokeStyle = "#333b46"; pen.lineWidth = width;
      pen.beginPath(); pen.moveTo(...at(p)); pen.lineTo(...at(q)); pen.stroke();
    };
    const parts = positions.map((p, k) => { const q = seen(p); return [q[2], ball(q, symbols[k])]; });
    for (const s of sites) { const q = seen(s.at); parts.push([q[2], site(q, s)]); }
    for (const e of edges) { const p = seen(e.start), q = seen(e.end); parts.push([(p[2] + q[2]) / 2, edge(p, q, e.width)]); }
    parts.sort((a, b) => a[0] - b[0]).forEach(([, paint]) => paint());
    pen.globalAlpha = 1;
    canvas.dataset.ordering = shown;
    label.textContent = ` ${scenes[shown].label} `;
  }
  canvas.addEventListener("pointerdown", (event) => { held = [event.clientX, event.clientY]; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => { if (!held) return; rotate((event.clientX - held[0]) / 120, (event.clientY - held[1]) / 120); held = [event.clientX, event.clientY]; draw(); });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { held = null; });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[event.key];
    if (by) { rotate(...by); draw(); event.preventDefault(); }
  });
  canvas.addEventListener("redraw", draw);
  new ResizeObserver(draw).observe(canvas);
  const step = (by) => { shown = (shown + by + scenes.length) % scenes.length; draw(); };
  const turner = (text, by) => (scenes.length > 1 ? el("button", { class: "plain", type: "button", "data-step": by, onclick: () => step(by) }, text) : null);
  const symbols = [...new Set(scenes[0].symbols)];
  return el("figure", {}, canvas, el("figcaption", {}, turner("previous", -1), label, turner("next", 1), " ",
    ...symbols.map((symbol) => el("span", { class: "legend" }, el("span", { style: `color:${look(symbol)[0]}` }, "●"), ` ${symbol}`))));
}
function crystal(m) {
  if (!m.orderings.length) return el("p", { class: "soft" }, "no orderings to show");
  return viewer(`Crystal of ${m.formula}`, m.orderings.map((_, k) => orderingScene(m, k)), looks(m.orderings[0].symbols));
}
