// The chart: everything that stays while the pointer moves is drawn once, the cursor above it moves.

let at = 0; // the radius of the cursor, in image units
let cursor = { line: null, marks: [] };

function drawChart(series) {
  size.width = drawing.clientWidth;
  size.height = Math.min(460, Math.max(290, 0.58 * size.width));
  const ks = checked("k"), bands = form.elements.bands.checked;
  const picture = svg("svg", { role: "img", viewBox: `0 0 ${size.width} ${size.height}` });
  picture.append(...axes(), ...series.flatMap((one) => curves(one, ks.indexOf(one.k), bands)), ...names(series), ...strip(series));
  cursor = {
    line: svg("line", { y1: up(1), y2: up(0), class: "cursor" }),
    marks: series.map((one) => svg("circle", { r: 4, class: "here", style: `stroke: ${one.colour}` })),
  };
  picture.append(cursor.line, ...cursor.marks);
  drawing.replaceChildren(picture);
}

function moveCursor(series) {
  const x = across(at);
  cursor.line.setAttribute("x1", x);
  cursor.line.setAttribute("x2", x);
  series.forEach((one, place) => {
    cursor.marks[place].setAttribute("cx", x);
    cursor.marks[place].setAttribute("cy", up(certified(one, at)));
  });
}

// for screen readers, when the cursor rests
function describeChart(series) {
  const words = series.map(
    (one) => `${one.name}, k = ${one.k}: ${percent(certified(one, 0))} at 0, ${percent(certified(one, at))} at ${radiusText(at)}`,
  );
  drawing.firstChild.setAttribute("aria-label", `Certified accuracy against ${norm().name} radius. ${words.join("; ")}.`);
}
