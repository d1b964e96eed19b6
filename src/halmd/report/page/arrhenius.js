// --- Arrhenius -----------------------------------------------------------------------------------
const published = { measured: true, computed: true };
function arrheniusItems(materials) {
  const scale = (sigma, T) => (sigma > 0 ? log10(timesT ? sigma * T : sigma) : NaN);
  const unit = "S/cm", items = [];
  for (const m of materials) {
    const of = m.name, colour = m.colour;
    if (m.band) {
      const inverse = m.band.per_1000_K, T = inverse.map((x) => 1000 / x);
      const shift = (list) => list.map((y, k) => (timesT ? y : y - log10(T[k])));
      items.push({ kind: "band", of, colour, x: inverse, low: shift(m.band.low), high: shift(m.band.high) });
      const used = m.pooled.map((p) => 1000 / p.T), edge = [Math.min(...used) - 1e-9, Math.max(...used) + 1e-9];
      const inside = inverse.map((x) => x >= edge[0] && x <= edge[1]), middle = shift(m.band.middle);
      items.push({ kind: "line", of, colour, x: inverse, y: middle, dash: "5 4" });
      items.push({ kind: "line", of, colour, x: inverse.filter((_, k) => inside[k]), y: middle.filter((_, k) => inside[k]), width: 2.2 });
    }
    items.push({ kind: "points", of, colour, shape: m.shape, x: m.pooled.map((p) => 1000 / p.T), y: m.pooled.map((p) => scale(p.sigma, p.T)),
      low: m.pooled.map((p) => scale(Math.max(p.low, p.sigma / 100), p.T)), high: m.pooled.map((p) => scale(p.high, p.T)),
      tips: m.pooled.map((p) => `${m.formula} at ${p.T} K: σ = ${number(p.sigma)} ${unit}, 95 %: ${interval(p.low, p.high)}; ${p.runs} runs, ${number(p.jumps)} jumps`) });
    for (const [which, shape] of [["measured", "star"], ["computed", "wedge"]]) {
      if (!published[which]) continue;
      const values = m[which].filter((x) => x.sigma > 0);
      items.push({ kind: "points", of, colour, shape, size: which === "measured" ? 5 : 4, hollow: values.map((x) => which === "computed" || x.suspect), x: values.map((x) => 1000 / x.T), y: values.map((x) => scale(x.sigma, x.T)),
        tips: values.map((x) => `${m.formula} ${which === "measured" ? "measured" : `computed by others (${x.method})`} at ${x.T} K: σ = ${number(x.sigma)} ${unit}${x.extrapolated ? ", extrapolated by its authors" : ""}; ${x.citation}${x.suspect ? " (in doubt)" : ""}; published without an interval`) });
    }
  }
  return items;
}
function arrheniusPlot(materials, width) {
  const top = { label: "T, K", ticks: [250, 300, 400, 500, 600, 800, 1000].map((T) => [1000 / T, T]) };
  return plot(arrheniusItems(materials), { width, height: width ? 400 : 430, title: "Conductivity against inverse temperature", x: "1000 K / T", y: timesT ? "log₁₀(σT / (S K/cm))" : "log₁₀(σ / (S/cm))", top });
}
function drawArrhenius() { byId("arrhenius").replaceChildren(arrheniusPlot(MATERIALS.filter((m) => chosen.has(m.k)))); }
