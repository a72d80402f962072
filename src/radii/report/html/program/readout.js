// The values of all curves at the radius of the cursor, beside the chart.

const typed = section.querySelector("input[name=radius]");
const readout = section.querySelector(".readout tbody");
let cells = []; // of each series: the texts that change with the radius

function fillReadout(series) {
  const attacked = series.some((one) => one.lost);
  section.querySelectorAll(".readout .found, .note.found").forEach((node) => (node.hidden = !attacked));
  section.querySelector(".nothing").hidden = series.length > 0;
  const smallest = checked("k")[0];
  cells = series.map(() => ({ share: new Text(), interval: new Text(), attacked: new Text() }));
  readout.replaceChildren(
    ...series.map((one, place) =>
      html(
        "tr",
        {},
        html("th", { scope: "row" }, key(one, one.k > smallest), one.name),
        html("td", {}, one.k),
        html("td", {}, cells[place].share),
        html("td", { class: "interval" }, cells[place].interval),
        ...(attacked ? [html("td", {}, cells[place].attacked)] : []),
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
    write(cells[place].share, percent(share(count, one.of)));
    write(cells[place].interval, range(interval(count, one.of)));
    write(cells[place].attacked, one.lost ? percent(underAttack(one, at)) : "–");
  });
  // not while somebody types
  if (document.activeElement !== typed) typed.value = chosenText(at);
  slider.setAttribute("aria-valuetext", chosenText(at));
}
