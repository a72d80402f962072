// The controls: what is drawn again when one changes.

let series = [];

function move(radius) {
  at = Math.min(Math.max(0, whole() ? Math.round(radius) : radius), +slider.max);
  slider.value = at;
  moveCursor(series);
  moveReadout(series);
  keepAddress();
}

// a round radius near the pointer: what is read can be typed
function roundTo(radius) {
  const step = 10 ** Math.floor(Math.log10((size.last * scale()) / 300));
  return +(Math.round((radius * scale()) / step) * step).toPrecision(12) / scale();
}

function show() {
  drawChart(series);
  moveCursor(series);
  describeChart(series);
}

function update(radius) {
  series = selectedSeries();
  size.last = axisEnd();
  slider.max = whole() ? Math.floor(size.last) : size.last;
  slider.step = whole() ? 1 : "any";
  drawChart(series);
  fillReadout(series);
  fillTip();
  page = 0;
  hideTip();
  // a third of the way, where curves differ
  const round = ticks(size.last * scale(), 500);
  move(radius ?? round[Math.ceil((round.length - 1) / 3)] / scale());
  describeChart(series);
  listImages();
}

form.addEventListener("change", (event) => update(event.target.name === "norm" ? undefined : at));
form.addEventListener("submit", (event) => event.preventDefault());
form.querySelectorAll(".runs button").forEach((button) =>
  button.addEventListener("click", () => {
    form.querySelectorAll("input[name=run]").forEach((input) => (input.checked = button.className === "all"));
    update(at);
  }),
);
slider.addEventListener("input", () => move(+slider.value));
slider.addEventListener("change", () => describeChart(series));
typed.addEventListener("input", () => {
  const radius = parseRadius(typed.value);
  typed.setAttribute("aria-invalid", isNaN(radius));
  if (!isNaN(radius)) move(radius);
});
// what was typed becomes what is shown
typed.addEventListener("blur", () => {
  typed.removeAttribute("aria-invalid");
  typed.value = chosenText(at);
  describeChart(series);
});
typed.addEventListener("keydown", (event) => event.key === "Enter" && typed.blur());
chart.addEventListener("pointermove", (event) => {
  const part = (event.clientX - drawing.getBoundingClientRect().left - MARGIN.left) / (size.width - MARGIN.left - MARGIN.right);
  move(roundTo(Math.min(1, Math.max(0, part)) * size.last));
  showTip(series);
});
chart.addEventListener("pointerleave", () => {
  hideTip();
  describeChart(series);
});
new ResizeObserver(() => drawing.clientWidth !== size.width && show()).observe(drawing);
addEventListener("hashchange", () => {
  if (location.hash === written) return;
  const radius = readAddress();
  if (!isNaN(radius)) update(radius);
});

// folded parts cannot be opened on paper: they are printed open, but for the list, whose rows are in files
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open]):not(.list)")];
  folded.forEach((details) => (details.open = true));
});
addEventListener("afterprint", () => folded.forEach((details) => (details.open = false)));

// without JavaScript, the section would not work and stays hidden
section.hidden = false;
document.querySelector("nav a[href='#explore']").hidden = false;
const addressed = readAddress();
update(isNaN(addressed) ? undefined : addressed);
