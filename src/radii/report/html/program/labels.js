// Names at the ends of curves, where they cover no other curve and no other name.

const MOST_NAMES = 12;

// the height of a curve at each pixel of the width
function outline(one) {
  const heights = new Float64Array(Math.ceil(size.width) + 1).fill(up(0)), points = heldCorners(one);
  points.forEach((point, place) => {
    const to = points[place + 1]?.x ?? across(size.last);
    for (let x = Math.floor(point.x); x <= to; x++) heights[x] = Math.min(heights[x], up(share(point.count, one.of)));
  });
  return heights;
}

const apart = (one, two) => one.x1 <= two.x0 || two.x1 <= one.x0 || one.y1 <= two.y0 || two.y1 <= one.y0;

// how much of curves a box covers: between neighbouring pixels a curve takes all heights from one to the other
function covered(box, outlines) {
  let sum = 0;
  for (const heights of outlines)
    for (let x = Math.max(1, Math.floor(box.x0)); x <= Math.min(box.x1, heights.length - 1); x++) {
      const high = Math.min(heights[x - 1], heights[x]), low = Math.max(heights[x - 1], heights[x]);
      if (low >= box.y0 && high <= box.y1 && high < up(0) - 1) sum += 1;
    }
  return sum;
}

function names(series) {
  if (series.length > MOST_NAMES || !series.length) return [];
  const outlines = series.map(outline), placed = [];
  const ends = series.map((one) => {
    const points = heldCorners(one), last = points.findIndex((point) => !point.count);
    return { one, x: last < 0 ? across(size.last) : points[last].x, points };
  });
  // the farthest first: it has the fewest places
  return ends
    .sort((first, second) => second.x - first.x)
    .flatMap(({ one, x, points }) => {
      const text = data.ks.length > 1 && checked("k").length > 1 ? `${one.name}, k = ${one.k}` : one.name;
      const width = 6.4 * text.length + 12, boxes = [];
      for (let step = 0; step < 30; step++)
        for (const left of [x + 6, x - width - 4]) {
          const y = up(0) - 12 - (step * (up(0) - up(1) - 20)) / 30;
          boxes.push({ x0: left, x1: left + width, y0: y - 9, y1: y + 5, y });
        }
      const free = boxes.filter(
        (box) => box.x0 >= MARGIN.left && box.x1 <= size.width - 2 && placed.every((other) => apart(box, other)),
      );
      if (!free.length || !points[0].count) return [];
      const near = (box) => 20 * covered(box, outlines) + Math.abs(up(0) - box.y) * 0.35 + (box.x0 < x ? 8 : 0);
      const costs = free.map(near), box = free[costs.indexOf(Math.min(...costs))];
      placed.push(box);
      return [
        shape(one.marker, { transform: `translate(${box.x0 + 4} ${box.y - 4})`, style: `color: ${one.colour}`, class: document.getElementById(`m${one.marker}`).getAttribute("class") ?? "" }),
        svg("text", { x: box.x0 + 12, y: box.y, class: "end" }, text),
      ];
    });
}
