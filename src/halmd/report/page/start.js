// --- put together --------------------------------------------------------------------------------
byId("about").textContent = `${MATERIALS.length} ${MATERIALS.length === 1 ? "material" : "materials"}, ${MATERIALS.reduce((n, m) => n + m.runs.length, 0)} runs; halmd ${DATA.version}.`;
byId("methods").textContent = DATA.methods;
byId("references").append(...DATA.references.map((text) => el("li", {}, text)));
byId("each").append(...MATERIALS.map(section));
byId("filter").addEventListener("input", drawRanking);
byId("times-T").addEventListener("click", (event) => { timesT = !timesT; event.target.setAttribute("aria-pressed", timesT); drawArrhenius(); });
for (const [id, which] of [["all", MATERIALS], ["none", []]]) byId(id).addEventListener("click", () => { chosen.clear(); which.forEach((m) => chosen.add(m.k)); drawRanking(); drawArrhenius(); });
for (const which of ["measured", "computed"]) byId(which).addEventListener("click", (event) => {
  published[which] = !published[which];
  event.target.setAttribute("aria-pressed", published[which]);
  drawArrhenius();
  // In the sections too.
  document.querySelectorAll("#each .own").forEach((place) => place.replaceChildren(arrheniusPlot([MATERIALS[Number(place.closest("details").id.slice(1))]], 540)));
});
window.addEventListener("beforeprint", () => document.querySelectorAll("#each > details").forEach((box) => { box.open = true; fill(MATERIALS[Number(box.id.slice(1))], box.lastElementChild); }));
drawRanking();
drawArrhenius();
if (MATERIALS.length === 1) byId("m0").open = true;
