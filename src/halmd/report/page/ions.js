// --- where ions are and go --------------------------------------------------------------------------
const HOW_TO = "snakemake diagnostics computes jumps and densities of every run (halmd jumps and halmd density those of one); halmd report then draws them here.";
// From white over blue to black: in order of lightness too, so it is read without colour and in print.
function shade(level) {
  const t = level / 255, stops = [[255, 255, 255], [86, 180, 233], [0, 114, 178], [10, 20, 50]];
  const k = Math.min(2, Math.floor(3 * t)), part = 3 * t - k;
  return stops[k].map((low, i) => Math.round(low + part * (stops[k + 1][i] - low)));
}
function projection(plane, mobile) {
  const [columns, rows] = plane.shape, levels = atob(plane.levels);
  const small = el("canvas", {});
  small.width = columns; small.height = rows;
  const brush = small.getContext("2d"), image = brush.createImageData(columns, rows);
  for (let i = 0; i < columns; i++) for (let j = 0; j < rows; j++) image.data.set([...shade(levels.charCodeAt(i * rows + j)), 255], 4 * (j * columns + i));
  brush.putImageData(image, 0, 0);
  const [ux] = plane.u_A, [vx, vy] = plane.v_A, low = Math.min(0, vx), wide = Math.max(ux, ux + vx) - low, scale = 400 / Math.max(wide, vy);
  const most = `${number(plane.largest_per_A2)} ${mobile} per Å²`;
  const canvas = el("canvas", { class: "density", role: "img", "aria-label": `Density of ${mobile} along ${plane.along}, at most ${most}`, style: `aspect-ratio:${wide} / ${vy}` });
  canvas.width = Math.round(scale * wide); canvas.height = Math.round(scale * vy);
  const pen = canvas.getContext("2d");
  pen.setTransform(scale * ux / columns, 0, scale * vx / rows, -scale * vy / rows, -scale * low, scale * vy);
  // Pixels are centred on the points of the grid, so half of one shows at either side.
  pen.beginPath(); pen.rect(0, 0, columns, rows); pen.clip();
  for (const [x, y] of [[0, 0], [columns, 0], [0, rows], [columns, rows]]) pen.drawImage(small, x - 0.5, y - 0.5);
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.strokeStyle = "#8a94a0"; pen.lineWidth = 2;
  pen.beginPath();
  [[0, 0], [ux, 0], [ux + vx, vy], [vx, vy]].forEach(([x, y], k) => pen[k ? "lineTo" : "moveTo"](scale * (x - low), scale * (vy - y)));
  pen.closePath(); pen.stroke();
  return el("figure", { class: "density" }, canvas, el("figcaption", { class: "soft" }, `along ${plane.along}: ${plane.across[0]} to the right, ${plane.across[1]} up; black is `,
    valueCell(most, null, `time-averaged number density of ${mobile}, summed along ${plane.along}; exact to 1/255 of the largest value; a mean of the run, without an interval`)));
}
function densityOf(run) {
  if (!run.density) return el("p", { class: "soft" }, "No density of this run yet. ", HOW_TO);
  return el("div", {}, el("h4", {}, `Density of ${run.mobile}`), oneStop(el("div", { class: "trio" }, ...run.density.planes.map((plane) => projection(plane, run.mobile)))));
}
const KIND_COLUMNS = [
  ["kind of site", (k) => k.kind, "Label of the site in the CIF, or its coordination by anions"],
  ["sites", (k) => k.n_sites, "Number of such sites in the cell"],
  ["occupancy", (k) => valueCell(number(k.mean_occupancy), null, "mean number of ions on such a site over the run; a mean, without an interval"), "Mean occupancy"],
  ["residence, ps", (k) => (k.residence_ps === null ? "never left" : valueCell(number(k.residence_ps), null, `time spent on such sites over the ${k.jumps_from} jumps that end it`)), "Mean time until an ion jumps away"],
];
const PAIR_COLUMNS = [
  ["jumps", (p) => `${p.from} → ${p.to}`, "Kinds of sites that a jump joins"],
  ["number", (p) => p.n_jumps, "Jumps that were seen"],
  ["rate, 1/ps", (p) => valueCell(number(p.rate), p.rate95 && interval(...p.rate95), `jumps per ion and ps${p.rate95 ? "; 95 % interval of a Poisson process, widened as blocks of the run scatter" : ""}; no interval covers the choice of sites`), "Jumps per ion and ps"],
  ["length, Å", (p) => valueCell(number(p.length_A), null, "root mean square distance between the sites; fixed by the sites, without an interval"), "Distance between the sites"],
];
function jumpsOf(m, run) {
  const jumps = run.jumps;
  if (!jumps) return el("p", { class: "soft" }, "No jumps of this run yet. ", HOW_TO);
  const where = jumps.vectors.map((v) => `[${v.join(" ")}]`).join(", ");
  const facts = [["Rate: ", valueCell(`${number(jumps.rate)} jumps per ion and ps`, ` (95 %: ${interval(...jumps.rate95)})`, "all jumps over the time that ions were followed; 95 % interval of a Poisson process, widened as blocks of the run scatter; no interval covers the choice of sites")]];
  if (jumps.f !== null) facts.push(["Correlation factor: ", valueCell(number(jumps.f, 2), jumps.f95 && ` (95 %: ${interval(...jumps.f95, 1, 2)})`, "D / (rate <l²> / 6); 1 where jumps forget one another; 95 % interval of D alone")]);
  if (jumps.back !== null) facts.push([valueCell(`${number(100 * jumps.back, 2)} %`, null, "share of successive jumps of an ion that take the first one back; counted, without an interval"), " of the jumps go back."]);
  facts.push([`Paths made of jumps percolate in ${jumps.dimensions} dimensions${where ? `, along ${where} of the cell` : ""}.`]);
  facts.push([valueCell(`${number(100 * jumps.elsewhere, 2)} %`, null, "share of the time that ions are farther than 1.4 Å from every site: the smaller, the better the sites describe where ions are"), " of the time at no site."]);
  const tables = el("div", {}, oneStop(el("ul", { class: "notes" }, ...facts.map((parts) => el("li", {}, ...parts)))), table(PAIR_COLUMNS, jumps.pairs, { caption: "Kinds of jumps" }), table(KIND_COLUMNS, jumps.kinds, { caption: "Kinds of sites" }));
  if (!jumps.network) return el("div", {}, el("p", { class: "soft" }, "This jumps.json has no places of sites: delete it, and snakemake diagnostics makes it again with them."), tables);
  return el("div", { class: "pair" }, networkOf(m, run), tables);
}
function networkOf(m, run) {
  const net = run.jumps.network, names = [...new Set(net.kinds)], busiest = net.edges[0];
  const view = viewer(`Jumps in ${m.formula}`, [networkScene(run)], looks(net.symbols));
  view.lastElementChild.append(el("span", {}, ...names.map((name, k) => legend({ colour: COLOURS[k % 6], shape: SHAPES[k % 5] }, name))), el("p", { class: "soft" },
    busiest ? `Symbols: sites, larger where fuller; lines: jumps between them, wider where more frequent, the widest ${number(busiest[6])} per ion and ps (${busiest[5]} jumps)` : "No jumps were seen",
    net.n_edges > net.edges.length ? `; the ${net.edges.length} busiest of ${net.n_edges}.` : ".", " Balls: mean positions of the framework."));
  return view;
}
function ionPanel(m) {
  if (!m.ions.length) return el("p", { class: "soft" }, "Not computed yet. ", HOW_TO);
  const place = el("div", {});
  const show = (k) => {
    place.replaceChildren(jumpsOf(m, m.ions[k]), densityOf(m.ions[k]));
    place.querySelectorAll("canvas.crystal").forEach((canvas) => canvas.dispatchEvent(new Event("redraw")));
  };
  const choice = el("select", { "aria-label": "Run whose ions are shown", onchange: (event) => show(Number(event.target.value)) },
    ...m.ions.map((run, k) => el("option", { value: k }, `${run.T} K, ordering ${run.ordering}${run.verdict === "converged" ? "" : ` (${words(run.verdict)})`}`)));
  // The hottest that converged has moved most.
  const first = Math.max(0, m.ions.findLastIndex((run) => run.verdict === "converged"));
  choice.value = first;
  show(first);
  return el("div", {}, el("p", {}, el("label", { class: "soft" }, "Run ", choice)), place);
}
