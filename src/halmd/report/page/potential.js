// --- the potential: what it was fitted on, and whether runs stayed there -------------------------------
const ERROR_COLUMNS = [
  ["held-out snapshots of", (e) => e.of, "A family or a composition of the test set, or its temperature; the fit saw none of them"],
  ["snapshots", (e) => e.snapshots, "Number of held-out snapshots"],
  ["energy, meV/atom", (e) => number(e.energy_meV_per_atom), "Root mean square error against the teacher, without an interval"],
  ["forces, meV/Å", (e) => valueCell(number(e.force_meV_per_A), `${number(100 * e.force_meV_per_A / e.force_rms_meV_per_A, 2)} % of their size`, `root mean square error of a force component against the teacher; the forces themselves have ${number(e.force_rms_meV_per_A)} meV/Å`), "Root mean square error of forces"],
  ["pressure, GPa", (e) => (e.pressure_GPa === null ? null : number(e.pressure_GPa)), "Root mean square error against the teacher, without an interval"],
];
function coverageLines(m, key, covered) {
  const card = DATA.potentials[key].card, lines = [];
  lines.push(covered.missing.length ? `It was NOT fitted on ${covered.missing.join(", ")} of this material.` : `All elements of this material were learnt: ${covered.covered.join(", ")}.`);
  if (covered.crystal === false) lines.push(`The crystal ${m.prototype} is NOT among those it was fitted on.`);
  if (covered.crystal) lines.push(`The crystal ${m.prototype} is among those it was fitted on.`);
  lines.push(covered.learnt.length ? `This composition was learnt, as one of: ${covered.learnt.join("; ")}.` : `This composition itself was not learnt${card.families.length ? `; families that were: ${card.families.join("; ")}` : ""}.`);
  if (card.not_covered.length) lines.push(`Learnt but not vouched for: ${card.not_covered.join("; ")}.`);
  return lines;
}
function flagLines(m, key) {
  const runs = m.runs.filter((run) => run.potential === key), judged = runs.filter((run) => run.uncertainty), far = runs.filter((run) => run.extrapolating);
  const lines = [];
  if (far.length) lines.push(`${far.length} of ${runs.length} runs leave what the potential was fitted on: ${far.map((run) => `${run.T} K, ordering ${run.ordering}`).join("; ")}.`);
  if (judged.length) lines.push(`A committee looked at ${judged.length} of ${runs.length} runs; its findings are among the checks of the runs.`);
  else lines.push("No committee: nothing says during a run whether it leaves what the potential was fitted on.");
  return lines;
}
function potentialCard(m, key) {
  const potential = DATA.potentials[key], card = potential.card, covered = m.potentials[key];
  const versions = Object.entries(potential.versions).map(([name, version]) => `${name} ${version}`).join(", ");
  const head = el("p", {}, el("strong", {}, potential.name), ` (${[potential.kind, potential.evaluator, versions].filter(Boolean).join(", ")})`, el("br", {}),
    el("span", { class: "soft checksum" }, potential.sha256 ? `SHA-256 ${potential.sha256}` : "no checksum: code of an ASE calculator"));
  if (!card) return el("div", {}, head, el("ul", { class: "notes" }, ...flagLines(m, key).map((line) => el("li", {}, line))),
    el("p", { class: "soft" }, "No card of this file was found where the page was written: what it was fitted on is not known here."));
  const made = [card.teacher && `labelled by ${card.teacher}`, card.shape && `shape ${card.shape}`, card.r_max_A && `cut-off ${card.r_max_A} Å`, card.licence && `licence ${card.licence}`].filter(Boolean);
  const facts = [`Fitted on ${card.snapshots === null ? "" : `${card.snapshots} `}snapshots of ${[card.elements.join(", "), ...made].join("; ")}.`];
  if (card.bars[1]) facts.push(`It meets ${card.bars[0]} of the ${card.bars[1]} bars of its validation.`);
  if (card.uncertainty) facts.push(`Its committee of ${card.uncertainty.members} calls a run extrapolating when forces on any atom differ by more than ${number(card.uncertainty.force_std_eV_per_A, 2)} eV/Å in more than ${number(100 * card.uncertainty.share, 2)} % of the looks.`);
  const lines = [...facts, ...coverageLines(m, key, covered), ...flagLines(m, key)];
  const rows = card.errors.filter((e) => e.kind !== "composition").concat(covered.held_out || []);
  return el("div", {}, head, el("ul", { class: "notes" }, ...lines.map((line) => el("li", {}, line))),
    rows.length ? table(ERROR_COLUMNS, rows, { caption: "Errors on snapshots that the fit never saw" }) : el("p", { class: "soft" }, "The card has no held-out errors."));
}
function potentialPanel(m) {
  const keys = Object.keys(m.potentials);
  if (!keys.length) return el("p", { class: "soft" }, "The runs do not say what made their forces (no run.json beside them).");
  return el("div", {}, ...keys.map((key) => potentialCard(m, key)));
}
