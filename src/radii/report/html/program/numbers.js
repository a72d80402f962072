// Numbers of a series at a radius, and their texts.

const share = (count, of) => (of ? count / of : 0);

// how many of some sorted values are smaller than a bound; with `equal`, or equal to it
function below(values, bound, equal = false) {
  let first = 0, last = values.length;
  while (first < last) {
    const place = (first + last) >> 1;
    if (values[place] < bound || (equal && values[place] === bound)) first = place + 1;
    else last = place;
  }
  return first;
}

const countAt = (one, radius) => one.held.length - below(one.held, radius);
const certified = (one, radius) => share(countAt(one, radius), one.of);
const underAttack = (one, radius) => share(one.plain - below(one.lost, radius, true), one.of);

// the 95 % interval of a share, Clopper-Pearson's, rounded outwards to millionths, as report.json has it
function interval(count, of) {
  if (!of) return [0, 1];
  const lowest = unpack(data.lowest[of]);
  // in whole millionths: 1 - .961 is a little more than .039, and would be rounded up to .040
  return [lowest[count] / 1e6, (1e6 - lowest[of - count]) / 1e6];
}

const percent = (part) => `${(100 * part).toFixed(1)} %`;
const range = ([low, high]) => `${(Math.floor(1000 * low) / 10).toFixed(1)}–${(Math.ceil(1000 * high) / 10).toFixed(1)}`;
const down = (value, digits) => (Math.floor(value * 10 ** digits) / 10 ** digits).toFixed(digits);

// a radius as text, rounded down, so that no more is claimed than is certified
function radiusText(radius, key = norm().key) {
  if (isNaN(radius)) return "–";
  // as in formatting.py: two decimals would take a tenth off a small one
  if (key === "linf") return `${down(radius * 255, radius * 255 >= 1 || !radius ? 2 : 3)}/255`;
  return down(radius, key === "l0" && Number.isInteger(radius) ? 0 : 3);
}

// a radius that was chosen: its shortest text
const chosenText = (radius) => (norm().key === "linf" && radius ? `${+(radius * 255).toPrecision(6)}/255` : `${+radius.toPrecision(6)}`);

// a number or a fraction; NaN for other texts
function parseRadius(text) {
  const parts = text.trim().split("/").map((part) => (part.trim() === "" ? NaN : Number(part)));
  const radius = parts.length === 1 ? parts[0] : parts.length === 2 ? parts[0] / parts[1] : NaN;
  return radius >= 0 && isFinite(radius) ? radius : NaN;
}
