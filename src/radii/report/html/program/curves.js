// The curves of a series: steps of certified accuracy, their interval, and the accuracy under attack.

// the corners of a descending step function: after each radius in `ends`, one image fewer is left; one corner for all
// ends within a tenth of a pixel, which keeps curves of many images short
function corners(start, ends, shift) {
  const points = [{ x: across(0), count: start }];
  let count = start;
  for (const end of ends) {
    if (end + shift > size.last) break;
    const x = Math.round(10 * across(end + shift)) / 10, last = points[points.length - 1];
    count -= 1;
    if (x === last.x) last.count = count;
    else points.push({ x, count });
  }
  return points;
}

// steps are drawn around whole numbers, where l0 radii are: half a unit more, or less for what an attack changes there
const halfUnit = () => (whole() ? 0.5 : 0);
const heldCorners = (one) => corners(one.held.length, one.held, halfUnit());
const lostCorners = (one) => corners(one.plain, one.lost, -halfUnit());

const fixed = (number) => +number.toFixed(1);

// from left to right along the steps, to the end of the axis
function forward(points, height) {
  const steps = points.map(({ x, count }, place) => (place ? `H${x}V${fixed(height(count))}` : `${fixed(x)} ${fixed(height(count))}`));
  return `${steps.join("")}H${across(size.last)}`;
}

// the same from right to left
function backward(points, height) {
  let path = `L${across(size.last)} ${fixed(height(points[points.length - 1].count))}`;
  for (let place = points.length - 1; place > 0; place--) path += `H${points[place].x}V${fixed(height(points[place - 1].count))}`;
  return `${path}H${fixed(points[0].x)}Z`;
}

// all curves of a series, and where they can be marked; `thin` for the larger of several k
function curves(one, rank, bands) {
  const height = (count) => up(share(count, one.of)), points = heldCorners(one);
  const style = `fill: ${one.colour}`, parts = [];
  if (one.lost) {
    const left = lostCorners(one);
    parts.push(svg("path", { d: `M${forward(left, height)}${backward(points, height)}`, class: "between", style }));
    parts.push(svg("path", { d: `M${forward(left, height)}`, class: "curve found", style: `stroke: ${one.colour}` }));
  }
  if (bands) {
    const low = (count) => up(interval(count, one.of)[0]), high = (count) => up(interval(count, one.of)[1]);
    // to where the curve ends: beyond it nothing can be certified
    const reached = points.filter((point) => point.count);
    if (reached.length) {
      const end = points[reached.length]?.x ?? across(size.last);
      const closed = [...reached, { x: end, count: reached[reached.length - 1].count }];
      const there = forward(closed, high).replace(/H[^H]*$/, ""), back = backward(closed, low).replace(/^L\S+/, `L${end}`);
      parts.push(svg("path", { d: `M${there}${back}`, class: "band", style }));
    }
  }
  const width = [2.2, 1.5, 1.1][Math.min(rank, 2)];
  const line = `stroke: ${one.colour}; stroke-width: ${width}px`;
  // down to 0 where the last radius is reached, and no line along the axis
  const last = points.findIndex((point) => !point.count);
  const drawn = last < 0 ? points : points.slice(0, last + 1);
  let path = `M${forward(drawn, height)}`;
  if (last >= 0) path = path.replace(/H[^HV]*$/, "");
  parts.push(svg("path", { d: path, class: "curve", style: line, "stroke-dasharray": one.dash }));
  parts.push(...marks(one, rank, points));
  return parts;
}

// markers along a curve, at other places than those of its neighbours
function marks(one, rank, points) {
  const end = points.find((point) => !point.count)?.x ?? across(size.last), begin = across(0);
  const offset = ((one.run * 0.381966) % 1) * 0.2;
  return [0.1, 0.3, 0.5, 0.7, 0.9].map((part) => {
    const x = begin + (part - 0.1 + offset) * (end - begin);
    const count = points.findLast((point) => point.x <= x).count;
    return shape(one.marker, {
      class: `mark${rank ? " hollow" : ""} ${document.getElementById(`m${one.marker}`).getAttribute("class") ?? ""}`,
      transform: `translate(${fixed(x)} ${fixed(up(share(count, one.of)))})`,
      style: `color: ${one.colour}`,
    });
  });
}
