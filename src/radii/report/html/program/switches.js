// The switches: what is drawn anew when one is moved.

let series = [];

function show() {
  draw(series);
  read(series);
}

function ask(event) {
  const ks = checked("k");
  series = chosen();
  size.last = limit(data.series.filter((one) => one.norm === norm().key && ks.includes(one.k)));
  slider.max = size.last;
  slider.step = whole() ? 1 : "any";
  if (!event || event.target.name === "norm") {
    const round = ticks(size.last * scale(), 500);
    slider.value = round[Math.ceil((round.length - 1) / 3)] / scale();
  }
  shown = FEW;
  show();
  list(series);
}

form.addEventListener("change", ask);
form.addEventListener("submit", (event) => event.preventDefault());
slider.addEventListener("input", show);
chart.addEventListener("pointermove", (event) => {
  const box = chart.getBoundingClientRect();
  const part = (event.clientX - box.left - MARGIN.left) / (size.width - MARGIN.left - MARGIN.right);
  slider.value = Math.min(1, Math.max(0, part)) * size.last;
  show();
});
new ResizeObserver(() => chart.clientWidth !== size.width && show()).observe(chart);

// paper has no switches: what is folded away is printed too
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((one) => (one.open = true));
});
addEventListener("afterprint", () => folded.forEach((one) => (one.open = false)));

section.hidden = false;
document.querySelector("nav a[href='#explore']").hidden = false;
ask();
