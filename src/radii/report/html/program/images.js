// The table of all images, sortable by each column.

const images = section.querySelector(".images");
const FEW = 20;
let order = { column: 0, descending: false };
let shown = FEW; // rows; a page of thousands would be slow

const className = (label) => data.classes[label] ?? String(label);
const column = (one) => (data.ks.length > 1 ? `${one.name}, k = ${one.k}` : one.name);

// a row per image: position, label, and a radius for each selected run and k, undefined for images of other runs
function rowsOf(series) {
  const placeOf = series.map((one) => new Map(one.rows.map((row, place) => [row, place])));
  const rows = [...new Set(series.flatMap((one) => one.rows))].sort((a, b) => a - b);
  return rows.map((row) => [
    data.images.index[row],
    className(data.images.label[row]),
    ...series.map((one, at) => (placeOf[at].has(row) ? one.radii[placeOf[at].get(row)] : undefined)),
  ]);
}

function compare(first, second) {
  // what is not certified comes below radius 0
  const [a, b] = [first[order.column] ?? -1, second[order.column] ?? -1];
  const difference = typeof a === "string" ? a.localeCompare(b) : a - b;
  return order.descending ? -difference : difference;
}

function listImages(series) {
  const names = ["image", "true label", ...series.map(column)];
  if (order.column >= names.length) order = { column: 0, descending: false };
  const rows = rowsOf(series).sort(compare);
  const heads = names.map((name, place) => {
    const button = html("button", { type: "button" }, name);
    button.addEventListener("click", () => {
      order = { column: place, descending: order.column === place ? !order.descending : place > 1 };
      listImages(series);
      images.querySelectorAll("thead button")[place].focus(); // the button that was clicked has been replaced
    });
    const sort = order.column !== place ? "none" : order.descending ? "descending" : "ascending";
    return html("th", { scope: "col", "aria-sort": sort }, button);
  });
  const body = rows.slice(0, shown).map((row) =>
    html(
      "tr",
      {},
      html("th", { scope: "row" }, row[0]),
      ...row.slice(1).map((cell, place) => html("td", {}, place ? (cell === undefined ? "" : radiusText(cell)) : cell)),
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
  listImages(series);
});
images.querySelector(".save").addEventListener("click", () => {
  const heads = ["index", "true label", ...series.map((one) => `${one.name}, ${one.norm}, k = ${one.k}`)];
  download(`radii-${norm().key}.csv`, csv([heads, ...rowsOf(series).sort(compare)]));
});
