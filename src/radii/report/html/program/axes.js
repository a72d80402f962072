// The axes of the chart: where a radius and a share lie, and what is written beside them.

const chart = section.querySelector(".chart");
const drawing = chart.querySelector(".drawing");
const MARGIN = { left: 46, right: 22, top: 10, bottom: 72 };
const size = { width: 0, height: 0, last: 1 };
const across = (radius) => MARGIN.left + (radius / size.last) * (size.width - MARGIN.left - MARGIN.right);
const up = (part) => MARGIN.top + (1 - part) * (size.height - MARGIN.top - MARGIN.bottom);

// how far a series reaches: its largest certified radius, and three quarters of the lengths that attacks found, because
// a few very long ones would squeeze the certified part
const reach = once((number) => {
  const { radii, found } = data.series[number], lost = found ? ofClass(`${number}|`).lost : [];
  // not Math.max(...): as many arguments as images may overflow the stack, and one NaN would hide all numbers
  const most = unpack(radii[0]).reduce((largest, radius) => (radius > largest ? radius : largest), 0);
  return Math.max(most, lost[Math.floor(0.75 * lost.length)] ?? 0);
});

// the end of the axis, of all runs and classes, so that it stays while these are compared
function axisEnd() {
  const most = seriesNumbers().reduce((largest, number) => Math.max(largest, reach(number)), 0);
  return (most || (whole() ? 3 : 1 / scale())) + (whole() ? 0.5 : 0);
}

// round numbers from 0 to `most`, at least 70 pixels apart on an axis of `width` pixels
function ticks(most, width) {
  const rough = most / Math.max(2, Math.floor(width / 70)), power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 2.5, 5, 10].map((digit) => digit * power).find((round) => round >= rough);
  if (whole()) step = Math.max(1, Math.ceil(step));
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, count) => count * step);
}

function axes() {
  const grid = [0, 0.2, 0.4, 0.6, 0.8, 1].flatMap((part) => [
    svg("line", { x1: MARGIN.left, x2: size.width - MARGIN.right, y1: up(part), y2: up(part), class: "grid" }),
    svg("text", { x: MARGIN.left - 7, y: up(part) + 4, "text-anchor": "end" }, `${Math.round(100 * part)} %`),
  ]);
  const ends = ticks(size.last * scale(), size.width).flatMap((tick) => [
    svg("line", { x1: across(tick / scale()), x2: across(tick / scale()), y1: up(0), y2: up(0) + 4, class: "tick" }),
    svg(
      "text",
      { x: across(tick / scale()), y: up(0) + 18, "text-anchor": "middle" },
      +tick.toPrecision(6) + (tick && scale() > 1 ? "/255" : ""),
    ),
  ]);
  const label = svg(
    "text",
    { x: (MARGIN.left + size.width) / 2, y: up(0) + 34, "text-anchor": "middle", class: "name" },
    `${norm().name} radius (${norm().unit})`,
  );
  return [...grid, ...ends, label];
}
