// The selected norm, runs, k and class, and the series of each.

const section = document.getElementById("explore");
const form = section.querySelector("form");
const slider = section.querySelector("input[type=range]");

const checked = (name) => [...form.querySelectorAll(`input[name=${name}]:checked`)].map((input) => +input.value);
const norm = () => data.norms.find((known) => known.key === form.elements.norm.value);
// radii are stored in image units; linf is shown in grey levels, n/255
const scale = () => (norm().key === "linf" ? 255 : 1);
const whole = () => norm().key === "l0";

const labelOf = new Map(Array.from(new Set(every.label), (label) => [className(label), label]));
// undefined for all classes, and for a name that is not yet typed to its end
const chosenClass = () => labelOf.get(form.elements.class.value);

const sorted = (values) => Float64Array.from(values).sort();

// a series, reduced to the images of a class: their rows in `every`, radii, status, and what curves are drawn from
const ofClass = once((wanted) => {
  const [number, label] = wanted.split("|"), one = data.series[number], run = data.runs[one.run];
  const rows = unpack(run.rows), radii = lengths(one.radii), status = unpack(one.status);
  const found = one.found && lengths(one.found);
  const places = [], reached = [], removed = [];
  let plain = 0;
  for (let place = 0; place < rows.length; place++) {
    if (label !== "" && every.label[rows[place]] !== +label) continue;
    places.push(place);
    if (!isNaN(radii[place])) reached.push(radii[place]);
    if (status[place] < CORRECT && status[place] !== CERTIFIED) continue;
    plain += 1;
    // an image whose prediction is wrong is not attacked, nor counted as lost again
    if (found && isFinite(found[place])) removed.push(found[place]);
  }
  const held = sorted(reached);
  return {
    ...one,
    name: run.name,
    dash: run.dash,
    marker: run.marker,
    colour: `var(--run${one.run})`,
    radii,
    status,
    found,
    places,
    rows: places.map((place) => rows[place]),
    of: places.length,
    held,
    plain,
    lost: found && sorted(removed),
    mean: held.reduce((sum, radius) => sum + radius, 0) / Math.max(1, places.length),
    median: middle(held, places.length),
  };
});

// the median of the radii, where those that are not held are 0
function middle(held, of) {
  const at = (place) => held[place - (of - held.length)] ?? 0;
  return of ? (at(Math.floor((of - 1) / 2)) + at(Math.floor(of / 2))) / 2 : 0;
}

// of the selected norm and k: the numbers of the series of all runs, or of some
function seriesNumbers(runs) {
  const key = norm().key, ks = checked("k");
  return [...data.series.keys()].filter((number) => {
    const one = data.series[number];
    return one.norm === key && ks.includes(one.k) && (!runs || runs.has(one.run));
  });
}

function selectedSeries() {
  const label = chosenClass() ?? "";
  return seriesNumbers(new Set(checked("run"))).map((number) => ofClass(`${number}|${label}`));
}
