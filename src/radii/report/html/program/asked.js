// What is asked: norm, runs, k, class and radius, as the switches say; and the numbers that answer.

const data = JSON.parse(document.getElementById("data").textContent);
const section = document.getElementById("explore");
const form = section.querySelector("form");
const slider = section.querySelector("input[type=range]");

const checked = (name) => [...form.querySelectorAll(`input[name=${name}]:checked`)].map((one) => +one.value);
const norm = () => data.norms.find((one) => one.key === form.querySelector("input[name=norm]:checked").value);
const scale = () => (norm().key === "linf" ? 255 : 1);
const whole = () => norm().key === "l0";

// of each chosen run and k: rows of images, radii, and lengths of attacks, of the chosen class
function chosen() {
  const runs = checked("run"), ks = checked("k"), label = form.elements.class.value;
  const fits = (row) => label === "" || data.images.label[row] === +label;
  return data.series
    .filter((one) => one.norm === norm().key && runs.includes(one.run) && ks.includes(one.k))
    .map((one) => {
      const run = data.runs[one.run];
      const places = run.rows.map((_, place) => place).filter((place) => fits(run.rows[place]));
      const rows = places.map((place) => run.rows[place]);
      const found = one.found && places.map((place) => one.found[place]);
      const rank = ks.indexOf(one.k), ink = `${Math.round(100 - (55 * rank) / ks.length)}%`;
      const colour = `color-mix(in oklab, var(--run${one.run}) ${ink}, var(--paper))`;
      return { ...one, name: run.name, rows, radii: places.map((place) => one.radii[place]), found, colour };
    });
}

const share = (count, of) => (of ? count / of : 0);
const certified = (one, radius) =>
  share(one.radii.filter((held) => held !== null && held >= radius).length, one.radii.length);
const left = (one, radius) =>
  share(
    one.radii.filter((held, at) => held !== null && !(one.found[at] !== null && one.found[at] <= radius)).length,
    one.radii.length,
  );
const percent = (part) => `${(100 * part).toFixed(1)} %`;
const down = (value, digits) => (Math.floor(value * 10 ** digits) / 10 ** digits).toFixed(digits);

function written(radius) {
  if (radius === null) return "–";
  if (norm().key === "linf") return `${down(radius * 255, 2)}/255`;
  return down(radius, whole() && Number.isInteger(radius) ? 0 : 3);
}

const sorted = (values) => Float64Array.from(values).sort();
const mean = (one) => share(one.radii.reduce((sum, held) => sum + (held ?? 0), 0), one.radii.length);
const median = (one) => sorted(one.radii.map((held) => held ?? 0))[Math.floor(one.radii.length / 2)] ?? 0;

// how far the axis goes: as anything is certified, and three quarters of the attacks
function limit(series) {
  const reached = series.flatMap((one) => {
    const lengths = sorted((one.found ?? []).filter((length) => length !== null));
    return [lengths[Math.floor(0.75 * lengths.length)] ?? 0, ...one.radii.map((held) => held ?? 0)];
  });
  const most = reached.reduce((one, two) => Math.max(one, two), 0);
  return most || (whole() ? 3 : 1 / scale());
}

function ticks(most, room) {
  const rough = most / Math.max(2, Math.floor(room / 70)), power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 2.5, 5, 10].map((digit) => digit * power).find((one) => one >= rough);
  if (whole()) step = Math.max(1, Math.ceil(step));
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, count) => count * step);
}
