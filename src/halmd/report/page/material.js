// --- one material --------------------------------------------------------------------------------
// A colour and a shape for each temperature: neither has to be told apart alone.
function temperatureLooks(runs) {
  const found = [...new Set(runs.map((run) => run.T))].sort((a, b) => a - b);
  return new Map(found.map((T, k) => [T, { colour: COLOURS[k % 6], shape: SHAPES[k % 5] }]));
}
function msdPlot(m) {
  const looks = temperatureLooks(m.runs), items = [];
  for (const run of m.runs) {
    items.push({ kind: "line", colour: looks.get(run.T).colour, width: 1.4, x: run.msd[0], y: run.msd[1] });
    const last = run.msd[0].length - 1;
    if (last >= 0) items.push({ kind: "points", ...looks.get(run.T), size: 3.5, hollow: Boolean(run.left_out), x: [run.msd[0][last]], y: [run.msd[1][last]], tips: [dTip(run)] });
    const [from, to] = run.window;
    if (from === null || to === null) continue;
    const inside = run.msd[0].map((t) => t >= from && t <= to);
    items.push({ kind: "line", colour: looks.get(run.T).colour, width: 4, x: run.msd[0].filter((_, k) => inside[k]), y: run.msd[1].filter((_, k) => inside[k]) });
  }
  return el("figure", {}, plot(items, { title: "Mean-square displacement", width: 540, height: 340, x: "time, ps", y: "MSD, Å²", zero: true }),
    el("figcaption", { class: "soft" }, "Mean-square displacement; thick where it was fitted. ", ...[...looks].map(([T, look]) => legend(look, `${T} K`))));
}
// The posterior itself, from its quantiles: the share between two of them over their distance.
function posteriorPlot(m) {
  const looks = temperatureLooks(m.runs), shares = DATA.shares, items = [];
  for (const run of m.runs) {
    if (!run.posterior) continue;
    const at = run.posterior.map((D) => (D > 0 ? log10(D) : NaN)), x = [], y = [];
    for (let k = 1; k < at.length; k++) if (at[k] > at[k - 1]) { x.push((at[k] + at[k - 1]) / 2); y.push((shares[k] - shares[k - 1]) / (at[k] - at[k - 1])); }
    const of = `${run.ordering}/${run.T}/${run.replica}`;
    items.push({ kind: "line", of, colour: looks.get(run.T).colour, width: run.left_out ? 1 : 1.8, dash: run.left_out ? "4 3" : null, x, y });
    items.push({ kind: "points", colour: looks.get(run.T).colour, shape: looks.get(run.T).shape, size: 3.5, hollow: Boolean(run.left_out), x: [log10(run.D)], y: [0], tips: [dTip(run)] });
  }
  return el("figure", {}, plot(items, { title: "Posterior of the diffusivity of every run", width: 540, height: 340, x: "log₁₀(D / (cm²/s))", y: "probability per decade", floor: true }),
    el("figcaption", { class: "soft" }, "Posterior of D given the run's displacements; dashed and hollow where the run was left out. ", ...[...looks].map(([T, look]) => legend(look, `${T} K`))));
}
const dTip = (run) => `ordering ${run.ordering}, ${run.T} K, replica ${run.replica}: D = ${number(run.D)} cm²/s, 95 %: ${interval(run.D_low, run.D_high)}, fitted from ${number(run.window[0])} to ${number(run.window[1])} ps${run.left_out ? `; left out: ${run.left_out}` : ""}`;
function diffusivityPlot(m) {
  const names = [...new Set(m.runs.map((run) => run.ordering))];
  const items = names.map((name, k) => {
    const runs = m.runs.filter((run) => run.ordering === name && run.D > 0);
    return { kind: "points", colour: COLOURS[k % 6], shape: SHAPES[k % 5], hollow: runs.map((run) => Boolean(run.left_out)), x: runs.map((run) => 1000 / run.T), y: runs.map((run) => log10(run.D)),
      low: runs.map((run) => log10(Math.max(run.D_low, run.D / 100))), high: runs.map((run) => log10(run.D_high)),
      tips: runs.map(dTip) };
  });
  return el("figure", {}, plot(items, { title: "Diffusivity of every run", width: 540, height: 340, x: "1000 K / T", y: "log₁₀(D / (cm²/s))" }),
    el("figcaption", { class: "soft" }, "Tracer diffusivity of every run, by ordering; hollow where it was left out. ", ...names.map((name, k) => legend({ colour: COLOURS[k % 6], shape: SHAPES[k % 5] }, name))));
}
function volumePlot(m) {
  const runs = m.runs.filter((run) => run.volume_A3);
  const item = { kind: "points", colour: "#0072B2", x: runs.map((run) => run.T), y: runs.map((run) => run.volume_A3),
    low: runs.map((run) => run.volume_A3 - (run.volume_error_A3 || 0)), high: runs.map((run) => run.volume_A3 + (run.volume_error_A3 || 0)),
    tips: runs.map((run) => `${run.T} K, ordering ${run.ordering}: ${number(run.volume_A3, 5)} ± ${number(run.volume_error_A3, 2)} Å³ (standard error), mean over the second half of NPT`) };
  return el("figure", {}, plot([item], { title: "Volume against temperature", width: 540, height: 340, x: "T, K", y: "volume, Å³" }),
    el("figcaption", { class: "soft" }, "Mean volume of the cell in NPT, in which the run was made."));
}
function instability(m) {
  const runs = m.runs.filter((run) => Number.isFinite(run.framework_A2));
  const item = { kind: "points", colour: "#D55E00", x: runs.map((run) => run.T), y: runs.map((run) => run.framework_A2), hollow: runs.map((run) => Boolean(run.left_out)),
    tips: runs.map((run) => `${run.T} K, ordering ${run.ordering}: framework at ${number(run.framework_A2, 2)} Å² (plateau over the run, without an interval); ${words(run.verdict)}`) };
  return el("figure", {}, plot([item], { title: "Framework against temperature", width: 540, height: 340, x: "T, K", y: "framework MSD, Å²", floor: true }),
    el("figcaption", { class: "soft" }, "Plateau of the framework's mean-square displacement: it leaps where a crystal melts or changes. Hollow: left out."));
}
const RUN_COLUMNS = [
  ["T, K", (run) => run.T, "Temperature asked for"], ["ordering", (run) => `${run.ordering} r${run.replica}`, "Filling of the partially occupied sites, and replica"],
  ["length, ps", (run) => number(run.length_ps, 4), "Length of production"],
  ["D, cm²/s", (run) => run.D !== null && valueCell(number(run.D), interval(run.D_low, run.D_high), "tracer diffusivity, from generalised least squares on the mean-square displacement over the fit window; 95 % interval from blocks of the run and of the ions"), "Tracer diffusivity"],
  ["σ, mS/cm", (run) => run.sigma !== null && valueCell(number(mS(run.sigma)), interval(run.sigma_low, run.sigma_high, 1000), "Nernst-Einstein: D times the density of charge, over kT; 95 % interval of D"), "Nernst-Einstein conductivity"],
  ["jumps", (run) => valueCell(number(run.jumps, 3), null, "6 D t N / a², uncorrelated jumps that would give this D; as uncertain as D"), "Effective jumps behind D"],
  ["mean T, K", (run) => valueCell(number(run.mean_K, 4), null, "mean kinetic temperature of production, without an interval"), "Kinetic temperature of production"],
  ["verdict", (run) => el("span", tipped(run.left_out ? `left out: ${run.left_out}` : "used in the fit"), el("span", { class: `word ${run.left_out || run.extrapolating ? "bad" : "good"}` }, words(run.verdict)), run.extrapolating ? el("small", {}, "beyond training") : null), "What was decided of the run, by rule"],
  ["made by", (run) => el("span", tipped(`seed ${run.seed ?? "unknown"}${run.ns_per_day ? `, ${number(run.ns_per_day)} ns a day` : ""}`), run.potential ? DATA.potentials[run.potential].name : "–", el("small", {}, [run.engine, run.device, run.host].filter(Boolean).join(", "))), "Potential, engine, device and host"],
];
const CHECK_COLUMNS = [
  ["T, K", (run) => run.T, "Temperature asked for"], ["ordering", (run) => `${run.ordering} r${run.replica}`, "Filling of the partially occupied sites, and replica"],
  ["motion", (run) => words(run.checks && run.checks.motion), "Kind of motion, from the slope of the mean-square displacement on logarithmic axes"],
  ["run / window", (run) => run.checks && number(run.checks.run_over_window), "Length of the run over the end of the fit window: more means more independent displacements"],
  ["slope falls by", (run) => run.checks && run.checks.slope_falls_by !== null && valueCell(`${number(100 * run.checks.slope_falls_by, 2)} %`, run.checks.slope_falls_by_error !== null ? `± ${number(100 * run.checks.slope_falls_by_error, 2)} %` : null, "fall of the slope from [t, 2t] to [2t, 4t], ± one standard error; above 10 % beyond two errors the motion is not diffusive yet"), "Is the motion diffusive?"],
  ["halves differ by", (run) => run.checks && run.checks.halves_differ_standard_errors !== null && valueCell(`${number(run.checks.halves_differ_standard_errors, 2)} errors`, null, "D of the second half of the run less that of the first, in standard errors"), "Drift along the run"],
  ["framework, Å²", (run) => valueCell(number(run.framework_A2, 2), null, "plateau of the mean-square displacement of the other ions over the run, without an interval: grows without end when a crystal melts"), "Mean-square displacement of the other ions"],
  ["it grows by, Å²", (run) => run.checks && growth(run.checks.framework), "Growth of each element's mean-square displacement over the run, ± one standard error"],
  ["volume, Å³", (run) => valueCell(number(run.volume_A3, 5), run.volume_error_A3 ? `± ${number(run.volume_error_A3, 2)}` : null, "volume of the cell that production ran in, from NPT; ± one standard error where npt.json has it"), "Volume of the cell"],
  ["committee", (run) => doubt(run), "Do forces of students fitted with other seeds agree?"],
];
function growth(framework) {
  return el("span", { class: "lines" }, ...Object.entries(framework).map(([symbol, [grown, error, diffuses]]) =>
    valueCell(`${symbol} ${number(grown, 2)} ± ${number(error, 2)}${diffuses ? ", diffuses" : ""}`, null, `growth of the mean-square displacement of ${symbol} over the run, ± one standard error; it diffuses when that is above 1 Å² beyond three errors`)));
}
function doubt(run) {
  if (run.beyond.length) return valueCell("beyond training", run.beyond.join(", "), `the potential was not fitted on ${run.beyond.join(", ")}; used because that was accepted`);
  const found = run.uncertainty;
  return found && valueCell(`${number(100 * found.share_above_threshold, 2)} % of ${found.looks} looks`, `${number(100 * found.share_allowed, 2)} % allowed`,
    `looks at which forces of ${found.members} students on any atom differ by more than ${number(found.threshold_eV_per_A, 2)} eV/Å; root mean square ${number(found.rms_eV_per_A, 2)}, largest ${number(found.max_eV_per_A, 2)} eV/Å`);
}
const PUBLISHED_COLUMNS = [
  ["kind", (x) => x.kind, "Measured on a sample, or computed by others"], ["T, K", (x) => x.T, "Temperature"],
  ["σ, mS/cm", (x) => number(mS(x.sigma)), "Published without an interval"], ["Ea, eV", (x) => number(x.Ea), "Published without an interval"],
  ["how", (x) => [x.method, x.extrapolated ? "extrapolated by its authors" : null].filter(Boolean).join("; "), "Synthesis of the sample, or method of the computation", "words"],
  ["source", (x) => `${x.citation}${x.suspect ? " (in doubt)" : ""}`, "Where it was published", "words"],
];
function publishedTable(m) {
  const rows = ["measured", "computed"].flatMap((kind) => m[kind].map((x) => ({ ...x, kind })));
  return rows.length ? table(PUBLISHED_COLUMNS, rows, { label: "Published values" }) : el("p", { class: "soft" }, "No published value is known to halmd.");
}
function runTable(m) {
  const files = (run) => el("span", { class: "files" }, ...run.files.flatMap((name) => [el("a", { href: `${m.folder}/${run.path}/${name}` }, name), " "]));
  return table([...RUN_COLUMNS, ["files", files, "Beside this page", "words links"]], m.runs, { label: "Every run" });
}
function section(m) {
  const body = el("div", {});
  const box = el("details", { id: `m${m.k}`, "data-name": m.name }, el("summary", {}, keyOf(m), formula(m.formula), m.name === m.formula ? null : ` (${m.name})`), body);
  // Drawn when it is looked at: three hundred materials open at once otherwise.
  box.addEventListener("toggle", () => { if (box.open) fill(m, body); });
  return box;
}
function fill(m, body) {
  if (body.childElementCount) return;
  const mobile = m.runs.length ? m.runs[0].mobile : "ions";
  body.append(el("ul", { class: "notes" }, ...m.lines.map((line) => el("li", {}, line))),
    el("div", { class: "pair" }, el("div", {}, crystal(m)), el("div", { class: "own" }, arrheniusPlot([m], 540))),
    el("h3", {}, "Diffusion and stability"),
    el("div", { class: "pair" }, msdPlot(m), posteriorPlot(m), diffusivityPlot(m), volumePlot(m), instability(m)),
    el("h3", {}, `Where ${mobile} is and goes`), ionPanel(m),
    el("h3", {}, "Runs"), runTable(m), table(CHECK_COLUMNS, m.runs, { caption: "Checks of every run" }),
    el("h3", {}, "Potential"), potentialPanel(m),
    el("h3", {}, "Published values"), publishedTable(m),
    el("p", { class: "soft" }, "Of the whole material: ", el("a", { href: `${m.folder}/arrhenius.json` }, "arrhenius.json"), " ", el("a", { href: `${m.folder}/orderings/orderings.json` }, "orderings.json")));
  body.querySelectorAll("canvas.crystal").forEach((canvas) => canvas.dispatchEvent(new Event("redraw")));
}
