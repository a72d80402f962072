// The selected norm, runs, k and class, and numbers for the selection.

const data = JSON.parse(document.getElementById("data").textContent);
const section = document.getElementById("explore");
const form = section.querySelector("form");
const slider = section.querySelector("input[type=range]");

const checked = (name) => [...form.querySelectorAll(`input[name=${name}]:checked`)].map((input) => +input.value);
const norm = () => data.norms.find((known) => known.key === form.querySelector("input[name=norm]:checked").value);
// radii are stored in image units; linf is shown in grey levels, n/255
const scale = () => (norm().key === "linf" ? 255 : 1);
const whole = () => norm().key === "l0";

// the series of each selected run and k, reduced to images of the selected class: their rows in `data.images`, radii,
// and lengths of perturbations that attacks found
function selectedSeries() {
  const runs = checked("run"), ks = checked("k"), label = form.elements.class.value;
  const ofClass = (row) => label === "" || data.images.label[row] === +label;
  return data.series
    .filter((one) => one.norm === norm().key && runs.includes(one.run) && ks.includes(one.k))
    .map((one) => {
      const run = data.runs[one.run];
      const kept = run.rows.map((_, place) => place).filter((place) => ofClass(run.rows[place]));
      const rows = kept.map((place) => run.rows[place]);
      const found = one.found && kept.map((place) => one.found[place]);
      // lighter for larger k, as in the figures
      const ink = `${Math.round(100 - (55 * ks.indexOf(one.k)) / ks.length)}%`;
      const colour = `color-mix(in oklab, var(--run${one.run}) ${ink}, var(--paper))`;
      return { ...one, name: run.name, rows, radii: kept.map((place) => one.radii[place]), found, colour };
    });
}

const share = (count, of) => (of ? count / of : 0);
const certified = (one, radius) =>
  share(one.radii.filter((held) => held !== null && held >= radius).length, one.radii.length);
const underAttack = (one, radius) =>
  share(
    one.radii.filter((held, at) => held !== null && !(one.found[at] !== null && one.found[at] <= radius)).length,
    one.radii.length,
  );
const percent = (part) => `${(100 * part).toFixed(1)} %`;
const down = (value, digits) => (Math.floor(value * 10 ** digits) / 10 ** digits).toFixed(digits);

// a radius as text, rounded down, so that no more is claimed than is certified
function radiusText(radius) {
  if (radius === null) return "–";
  if (norm().key === "linf") return `${down(radius * 255, 2)}/255`;
  return down(radius, whole() && Number.isInteger(radius) ? 0 : 3);
}

const sorted = (values) => Float64Array.from(values).sort();
const mean = (one) => share(one.radii.reduce((sum, held) => sum + (held ?? 0), 0), one.radii.length);
// as numpy has it: between the two in the middle of an even number
function median(one) {
  const radii = sorted(one.radii.map((held) => held ?? 0)), half = Math.floor(radii.length / 2);
  return radii.length ? (radii[half] + radii[radii.length - half - 1]) / 2 : 0;
}

// the end of the axis: the largest certified radius, and three quarters of the lengths that attacks found, because a
// few very long ones would squeeze the certified part
function axisEnd(series) {
  const reached = series.flatMap((one) => {
    const lengths = sorted((one.found ?? []).filter((length) => length !== null));
    return [lengths[Math.floor(0.75 * lengths.length)] ?? 0, ...one.radii.map((held) => held ?? 0)];
  });
  // not Math.max(...reached): as many arguments as images may overflow the stack
  const most = reached.reduce((largest, value) => Math.max(largest, value), 0);
  return most || (whole() ? 3 : 1 / scale());
}

// round numbers from 0 to `most`, at least 70 pixels apart on an axis of `width` pixels
function ticks(most, width) {
  const rough = most / Math.max(2, Math.floor(width / 70)), power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 2.5, 5, 10].map((digit) => digit * power).find((round) => round >= rough);
  if (whole()) step = Math.max(1, Math.ceil(step));
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, count) => count * step);
}
