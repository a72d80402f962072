// The values of all curves at the radius of the cursor, beside the chart.

const typed = section.querySelector("input[name=radius]");
const readout = section.querySelector(".readout tbody");
let cells = []; // of each series: those that change with the radius

function fillReadout(series) {
  const attacked = series.some((one) => one.lost);
  section.querySelectorAll(".readout .found, .note.found").forEach((node) => (node.hidden = !attacked));
  section.querySelector(".nothing").hidden = series.length > 0;
  cells = series.map(() => ({ share: html("td", {}), interval: html("td", { class: "interval" }), attacked: html("td", {}) }));
  readout.replaceChildren(
    ...series.map((one, place) =>
      html(
        "tr",
        {},
        html("th", { scope: "row" }, key(one, one.k > checked("k")[0]), one.name),
        html("td", {}, one.k),
        cells[place].share,
        cells[place].interval,
        ...(attacked ? [cells[place].attacked] : []),
        html("td", {}, percent(share(one.plain, one.of))),
        html("td", {}, radiusText(one.mean)),
        html("td", {}, radiusText(one.median)),
      ),
    ),
  );
}

function moveReadout(series) {
  series.forEach((one, place) => {
    const count = countAt(one, at);
    cells[place].share.textContent = percent(share(count, one.of));
    cells[place].interval.textContent = range(interval(count, one.of));
    cells[place].attacked.textContent = one.lost ? percent(underAttack(one, at)) : "–";
  });
  // not while somebody types
  if (document.activeElement !== typed) typed.value = chosenText(at);
  slider.setAttribute("aria-valuetext", chosenText(at));
}
