// The chart: certified accuracy against radius, and its values at the radius of the slider.

const chart = section.querySelector(".chart");
const reading = section.querySelector("output");
const readout = section.querySelector(".readout tbody");
const MARGIN = { left: 46, right: 22, top: 10, bottom: 44 };
const size = { width: 0, height: 0, last: 1 };
const across = (radius) =>
  MARGIN.left + (radius / size.last) * (size.width - MARGIN.left - MARGIN.right);
const up = (part) => MARGIN.top + (1 - part) * (size.height - MARGIN.top - MARGIN.bottom);

// a descending step function: after each radius in `ends`, one image fewer of `of` is left
function steps(start, ends, of) {
  let path = `M${across(0).toFixed(1)} ${up(share(start, of)).toFixed(1)}`, count = start;
  for (const end of ends) {
    if (end > size.last) break;
    path += `H${across(end).toFixed(1)}V${up(share(--count, of)).toFixed(1)}`;
  }
  return path;
}

function curves(one) {
  const held = sorted(one.radii.filter((radius) => radius !== null)), of = one.radii.length;
  const paths = [svg("path", { d: steps(held.length, held, of), class: "curve", style: `stroke: ${one.colour}` })];
  if (one.found) {
    const ends = sorted(one.found.filter((length, at) => length !== null && one.radii[at] !== null));
    // level to the end of the axis: images on which no attack succeeded are left
    const path = `${steps(held.length, ends, of)}H${across(size.last).toFixed(1)}`;
    paths.push(svg("path", { d: path, class: "curve found", style: `stroke: ${one.colour}` }));
  }
  return paths;
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
    { x: (MARGIN.left + size.width) / 2, y: size.height - 6, "text-anchor": "middle", class: "name" },
    `${norm().name} radius (${norm().unit})`,
  );
  return [...grid, ...ends, label];
}

function drawChart(series) {
  size.width = chart.clientWidth;
  size.height = Math.min(420, Math.max(250, 0.5 * size.width));
  // for screen readers
  const words = series.map(
    (one) => `${one.name}, k = ${one.k}: ${percent(certified(one, 0))} at 0, ${percent(certified(one, +slider.value))} at ${radiusText(+slider.value)}`,
  );
  const drawing = svg("svg", {
    role: "img",
    viewBox: `0 0 ${size.width} ${size.height}`,
    "aria-label": `Certified accuracy against ${norm().name} radius. ${words.join("; ")}.`,
  });
  drawing.append(...axes(), ...series.flatMap(curves));
  const at = across(+slider.value);
  drawing.append(svg("line", { x1: at, x2: at, y1: up(1), y2: up(0), class: "cursor" }));
  for (const one of series)
    drawing.append(
      svg("circle", { cx: at, cy: up(certified(one, +slider.value)), r: 3.5, style: `fill: ${one.colour}` }),
    );
  chart.replaceChildren(drawing);
}

function fillReadout(series) {
  const radius = +slider.value, attacked = series.some((one) => one.found);
  reading.textContent = radiusText(radius);
  slider.setAttribute("aria-valuetext", radiusText(radius));
  section.querySelectorAll(".readout .found, .note.found").forEach((node) => (node.hidden = !attacked));
  readout.replaceChildren(
    ...series.map((one) =>
      html(
        "tr",
        {},
        html("th", { scope: "row" }, dot(one.colour), one.name),
        html("td", {}, one.k),
        html("td", {}, percent(certified(one, radius))),
        ...(attacked ? [html("td", {}, one.found ? percent(underAttack(one, radius)) : "–")] : []),
        html("td", {}, radiusText(mean(one))),
        html("td", {}, radiusText(median(one))),
      ),
    ),
  );
  section.querySelector(".nothing").hidden = series.length > 0;
}
