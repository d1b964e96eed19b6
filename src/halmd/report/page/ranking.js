// --- the ranking ---------------------------------------------------------------------------------
const mS = (value) => (value === null || value === undefined ? null : 1000 * value);
const measuredNear = (m) => m.measured.filter((x) => !x.suspect && x.T > 285 && x.T < 315);
const target = MATERIALS.map((m) => m.sigma && m.sigma.temperature_K).find(Boolean) || 300;
const COLUMNS = [
  { name: "Material", sort: (m) => m.formula, cell: (m) => materialCell(m), tip: "Formula as it was asked for, and the prototype it was built from" },
  { name: `σ(${target} K), mS/cm`, sort: (m) => (m.sigma ? m.sigma.value : null), tip: "Nernst-Einstein conductivity from the fit over all usable temperatures",
    cell: (m) => m.sigma && valueCell(number(mS(m.sigma.value)), interval(m.sigma.low, m.sigma.high, 1000),
      `${m.sigma.extrapolated ? "extrapolated" : "interpolated"} from ${m.pooled.length} temperatures, ${number(m.sigma.distance)} in 1000 K/T from the nearest; 95 % interval, with an allowance for a change of regime the runs could not see`) },
  { name: "Ea, eV", sort: (m) => (m.Ea ? m.Ea.value : null), tip: "Activation energy of σT",
    cell: (m) => m.Ea && valueCell(number(m.Ea.value), interval(m.Ea.low, m.Ea.high), "minus the slope of ln(σT) against 1/T, weighted by the errors of the means at each temperature; 95 % interval") },
  { name: "Haven ratio", sort: (m) => (m.haven ? m.haven.value : null), tip: "Tracer over charge diffusivity, of the run that resolves it best",
    cell: (m) => m.haven && valueCell(number(m.haven.value, 2), Number.isFinite(m.haven.low) ? interval(m.haven.low, m.haven.high, 1, 2) : null, `tracer over charge diffusivity of one run at ${m.haven.temperature_K} K, the one that resolves it best; given only where the charge diffusivity is known within 30 %; 95 % interval from the posteriors of both`) },
  { name: "Measured, mS/cm", sort: (m) => Math.max(...measuredNear(m).map((x) => x.sigma), -1), tip: "Published conductivities near 300 K",
    cell: (m) => { const near = measuredNear(m).map((x) => mS(x.sigma)); return near.length ? valueCell(near.length > 1 ? `${number(Math.min(...near))} to ${number(Math.max(...near))}` : number(near[0]), `${near.length} published`, measuredNear(m).map((x) => `${number(mS(x.sigma))} mS/cm at ${x.T} K: ${x.citation}${x.method ? `, ${x.method}` : ""}`).join("\n")) : null; } },
  { name: "Factor", sort: (m) => (m.factor ? m.factor.value : null), tip: "Computed over measured, the geometric mean of what was measured",
    cell: (m) => m.factor && valueCell(`${number(m.factor.value, 2)}×`, interval(m.factor.low, m.factor.high, 1, 2), "computed over the geometric mean of published values within 10 K of the same temperature; 95 % interval of the computed value alone") },
  { name: "Verdict", sort: (m) => m.verdict, left: true, tip: "May it be believed? The verdict on the fit, and runs that were left out", cell: (m) => verdictCell(m) },
];
const chosen = new Set(MATERIALS.slice(0, 6).map((m) => m.k));
let order = { column: 1, down: true }, timesT = true;

function materialCell(m) {
  const box = el("input", { type: "checkbox", "aria-label": `draw ${m.formula}`, "data-draw": m.k,
    onchange: (event) => { event.target.checked ? chosen.add(m.k) : chosen.delete(m.k); drawArrhenius(); } });
  box.checked = chosen.has(m.k);
  const link = el("a", { href: `#m${m.k}`, onclick: () => { byId(`m${m.k}`).open = true; } }, formula(m.formula));
  const low = m.confidence === "low" ? el("span", { class: "word bad", ...tipped("The crystal rests on assumptions: see its cautions below") }, "LOW confidence") : null;
  return el("span", {}, box, " ", keyOf(m), link, " ", low, el("small", {}, m.name === m.formula ? m.prototype : `${m.name}, ${m.prototype}`));
}
function verdictCell(m) {
  const out = m.runs.filter((run) => run.left_out), far = m.runs.filter((run) => run.extrapolating);
  const good = m.verdict === "ok" && !far.length;
  const tips = out.map((run) => `${run.T} K, ordering ${run.ordering}: ${run.left_out}`).join("\n");
  const rule = m.verdict === "ok" ? "a fit over all usable temperatures" : `no fit: ${words(m.verdict)}`;
  return el("span", tipped([rule, tips].filter(Boolean).join("\n")), el("span", { class: `word ${good ? "good" : "bad"}` }, m.verdict === "ok" ? "fitted" : words(m.verdict)),
    el("small", {}, `${m.runs.length - out.length} of ${m.runs.length} runs used${far.length ? `, ${far.length} beyond training` : ""}`));
}
function drawRanking() {
  const head = el("tr", {}, ...COLUMNS.map((column, k) => el("th", { scope: "col", class: column.left ? "left" : null,
    "aria-sort": order.column === k ? (order.down ? "descending" : "ascending") : "none" },
    el("button", { type: "button", "data-column": k, "data-tip": column.tip, "aria-description": column.tip, onclick: () => { order = { column: k, down: order.column === k ? !order.down : k > 0 }; drawRanking(); byId("ranking").querySelector(`[data-column="${k}"]`).focus(); } }, column.name))));
  byId("ranking").tHead.replaceChildren(head);
  const wanted = byId("filter").value.trim().toLowerCase();
  const text = (m) => `${m.formula} ${m.name} ${m.prototype} ${words(m.verdict)} ${m.confidence}`.toLowerCase();
  const sign = order.down ? -1 : 1, value = COLUMNS[order.column].sort;
  const missing = (v) => v === null || v === undefined || v === -1;
  const rows = MATERIALS.filter((m) => text(m).includes(wanted)).sort((a, b) => {
    const [one, other] = [value(a), value(b)];
    // What is not known comes last, whichever way.
    if (missing(one) || missing(other)) return missing(one) - missing(other);
    return sign * (typeof one === "string" ? one.localeCompare(other) : one - other);
  });
  byId("ranking").tBodies[0].replaceChildren(...rows.map((m) => el("tr", { "data-name": m.name },
    ...COLUMNS.map((column) => {
      const shown = column.cell(m);
      return el("td", { class: [column.left && "left", !shown && "blank"].filter(Boolean).join(" ") || null, "data-label": column.name }, shown || "–");
    }))));
  oneStop(byId("ranking").tBodies[0]);
  byId("found").textContent = rows.length === MATERIALS.length ? "" : `${rows.length} of ${MATERIALS.length}`;
}
