// The controls: what is drawn again when one changes.

let series = [];

function show() {
  drawChart(series);
  fillReadout(series);
}

function update(event) {
  const ks = checked("k");
  series = selectedSeries();
  // of all runs and classes, so that the axis stays while these are compared
  size.last = axisEnd(data.series.filter((one) => one.norm === norm().key && ks.includes(one.k)));
  slider.max = size.last;
  slider.step = whole() ? 1 : "any";
  if (!event || event.target.name === "norm") {
    // a third of the way, where curves differ
    const round = ticks(size.last * scale(), 500);
    slider.value = round[Math.ceil((round.length - 1) / 3)] / scale();
  }
  shown = FEW;
  show();
  listImages(series);
}

form.addEventListener("change", update);
form.addEventListener("submit", (event) => event.preventDefault());
slider.addEventListener("input", show);
chart.addEventListener("pointermove", (event) => {
  const box = chart.getBoundingClientRect();
  const part = (event.clientX - box.left - MARGIN.left) / (size.width - MARGIN.left - MARGIN.right);
  slider.value = Math.min(1, Math.max(0, part)) * size.last;
  show();
});
new ResizeObserver(() => chart.clientWidth !== size.width && show()).observe(chart);

// folded parts cannot be opened on paper: they are printed open
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((details) => (details.open = true));
});
addEventListener("afterprint", () => folded.forEach((details) => (details.open = false)));

// without JavaScript, the section would not work and stays hidden
section.hidden = false;
document.querySelector("nav a[href='#explore']").hidden = false;
update();
