// Every image in a table, sorted as one likes.

const images = section.querySelector(".images");
const FEW = 20;
let order = { column: 0, descending: false };
let shown = FEW;

const className = (label) => data.classes[label] ?? String(label);
const column = (one) => (data.ks.length > 1 ? `${one.name}, k = ${one.k}` : one.name);

// a row an image: position, label, and a radius for each chosen run and k
function rowsOf(series) {
  const places = series.map((one) => new Map(one.rows.map((row, place) => [row, place])));
  const rows = [...new Set(series.flatMap((one) => one.rows))].sort((one, two) => one - two);
  return rows.map((row) => [
    data.images.index[row],
    className(data.images.label[row]),
    ...series.map((one, at) => (places[at].has(row) ? one.radii[places[at].get(row)] : undefined)),
  ]);
}

function compare(one, two) {
  const [a, b] = [one[order.column] ?? -1, two[order.column] ?? -1];
  const way = typeof a === "string" ? a.localeCompare(b) : a - b;
  return order.descending ? -way : way;
}

function list(series) {
  const names = ["image", "true label", ...series.map(column)];
  if (order.column >= names.length) order = { column: 0, descending: false };
  const rows = rowsOf(series).sort(compare);
  const heads = names.map((name, place) => {
    const button = html("button", { type: "button" }, name);
    button.addEventListener("click", () => {
      order = { column: place, descending: order.column === place ? !order.descending : place > 1 };
      list(series);
      images.querySelectorAll("thead button")[place].focus();
    });
    const sort = order.column !== place ? "none" : order.descending ? "descending" : "ascending";
    return html("th", { scope: "col", "aria-sort": sort }, button);
  });
  const body = rows.slice(0, shown).map((row) =>
    html(
      "tr",
      {},
      html("th", { scope: "row" }, row[0]),
      ...row.slice(1).map((cell, place) => html("td", {}, place ? (cell === undefined ? "" : written(cell)) : cell)),
    ),
  );
  images.querySelector("thead").replaceChildren(html("tr", {}, ...heads));
  images.querySelector("tbody").replaceChildren(...body);
  const more = images.querySelector(".more");
  more.hidden = rows.length <= shown;
  more.textContent = `Show ${Math.min(100, rows.length - shown)} more of ${rows.length}`;
}

images.querySelector(".more").addEventListener("click", () => {
  shown += 100;
  list(series);
});
images.querySelector(".save").addEventListener("click", () => {
  const heads = ["index", "true label", ...series.map((one) => `${one.name}, ${one.norm}, k = ${one.k}`)];
  download(`radii-${norm().key}.csv`, csv([heads, ...rowsOf(series).sort(compare)]));
});
