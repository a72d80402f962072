// The selected norm, runs, k and class, and the series of each.

const section = document.getElementById("explore");
const form = section.querySelector("form");
const slider = section.querySelector("input[type=range]");

const checked = (name) => [...form.querySelectorAll(`input[name=${name}]:checked`)].map((input) => +input.value);
const norm = () => data.norms.find((known) => known.key === form.querySelector("input[name=norm]:checked").value);
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
  const places = Array.from(rows.keys());
  const kept = label === "" ? places : places.filter((place) => every.label[rows[place]] === +label);
  const isRight = (place) => status[place] >= CORRECT || status[place] === CERTIFIED;
  const held = sorted(kept.map((place) => radii[place]).filter((radius) => !isNaN(radius)));
  const right = kept.filter(isRight);
  return {
    ...one,
    name: run.name,
    dash: run.dash,
    marker: run.marker,
    colour: `var(--run${one.run})`,
    radii,
    status,
    found,
    places: kept,
    rows: kept.map((place) => rows[place]),
    of: kept.length,
    held,
    plain: right.length,
    // an image whose prediction is wrong is not attacked, nor counted as lost again
    lost: found && sorted(right.map((place) => found[place]).filter(isFinite)),
    mean: held.reduce((sum, radius) => sum + radius, 0) / Math.max(1, kept.length),
    median: middle(held, kept.length),
  };
});

// the median of the radii, where those that are not held are 0
function middle(held, of) {
  const at = (place) => held[place - (of - held.length)] ?? 0;
  return of ? (at(Math.floor((of - 1) / 2)) + at(Math.floor(of / 2))) / 2 : 0;
}

// of a norm and some k: all runs, or those selected
function seriesOf(runs, label = "") {
  const ks = checked("k");
  return data.series.flatMap((one, number) =>
    one.norm === norm().key && ks.includes(one.k) && (!runs || runs.has(one.run)) ? [ofClass(`${number}|${label}`)] : [],
  );
}

const selectedSeries = () => seriesOf(new Set(checked("run")), chosenClass() ?? "");
