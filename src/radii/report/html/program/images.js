// The list of all images: filtered, sorted by each column, a page at a time.

const list = section.querySelector(".list");
const images = list.querySelector(".images");
const statusBox = images.querySelector("select[name=status]");
const findBox = images.querySelector("input[name=find]");
const pageBox = images.querySelector("input[name=page]");
const PAGE = 100; // rows; thousands would be slow
let order = { column: 0, descending: false };
let page = 0;
let opened = new Set(); // rows in `every` whose details are shown

const column = (one) => (data.ks.length > 1 ? `${one.name}, k = ${one.k}` : one.name);

// a row per image: its row in `every`, position and label, and a radius for each selected run and k, undefined for
// images of other runs; `statuses`: in any of these runs, with "attacked" where an attack succeeded
function rowsOf(series) {
  const rows = new Map();
  series.forEach((one, number) =>
    one.places.forEach((place, each) => {
      const row = one.rows[each];
      if (!rows.has(row)) rows.set(row, { row, cells: [every.index[row], className(every.label[row]), ...series.map(() => undefined)], statuses: new Set() });
      const entry = rows.get(row);
      entry.cells[2 + number] = one.radii[place];
      entry.statuses.add(statusName(one.status[place]));
      if (one.found && isFinite(one.found[place])) entry.statuses.add("attacked");
    }),
  );
  return [...rows.values()];
}

// an image by its position, or images by a part of their class
function wanted(entry) {
  const text = findBox.value.trim().toLowerCase(), [index, label] = entry.cells;
  if (statusBox.value && !entry.statuses.has(statusBox.value)) return false;
  return !text || (/^\d+$/.test(text) && String(index) === text) || label.toLowerCase().includes(text);
}

function compare(first, second) {
  // what is not certified comes below radius 0
  const value = (entry) => (Number.isNaN(entry.cells[order.column]) ? -1 : (entry.cells[order.column] ?? -2));
  const [a, b] = [value(first), value(second)];
  const difference = (typeof a === "string" ? a.localeCompare(b) : a - b) || first.row - second.row;
  return order.descending ? -difference : difference;
}

const chosenRows = () => rowsOf(series).filter(wanted).sort(compare);

function heading(name, place) {
  const button = html("button", { type: "button" }, name);
  button.addEventListener("click", () => {
    order = { column: place, descending: order.column === place ? !order.descending : place > 1 };
    page = 0;
    listImages();
    images.querySelectorAll("thead button")[place].focus(); // the button that was clicked has been replaced
  });
  const sort = order.column !== place ? "none" : order.descending ? "descending" : "ascending";
  return html("th", { scope: "col", "aria-sort": sort }, button);
}

function imageRow({ row, cells }) {
  const button = html("button", { type: "button", "aria-expanded": opened.has(row) }, ...picture(data.sheet, row, 28), String(cells[0]));
  button.addEventListener("click", () => {
    if (!opened.delete(row)) opened.add(row);
    listImages();
    images.querySelector(`button[data-row="${row}"]`)?.focus();
  });
  button.dataset.row = row;
  const rest = cells.slice(1).map((cell, place) => html("td", {}, place ? (cell === undefined ? "" : radiusText(cell)) : cell));
  const line = html("tr", {}, html("th", { scope: "row" }, button), ...rest);
  return opened.has(row) ? [line, detailRow(row, cells.length)] : [line];
}

function listImages() {
  // not before it is looked at
  if (!list.open) return;
  const names = ["image", "true label", ...series.map(column)];
  if (order.column >= names.length) order = { column: 0, descending: false };
  const rows = chosenRows(), pages = Math.max(1, Math.ceil(rows.length / PAGE));
  page = Math.min(page, pages - 1);
  const shown = rows.slice(page * PAGE, (page + 1) * PAGE);
  images.querySelector("thead").replaceChildren(html("tr", {}, ...names.map(heading)));
  images.querySelector("tbody").replaceChildren(...shown.flatMap(imageRow));
  const first = rows.length ? page * PAGE + 1 : 0;
  images.querySelector(".pages span").textContent = `${first}–${page * PAGE + shown.length} of ${rows.length}`;
  images.querySelector(".back").disabled = !page;
  images.querySelector(".on").disabled = page >= pages - 1;
  pageBox.max = pages;
  pageBox.value = page + 1;
}

function turnTo(number) {
  page = number;
  listImages();
}

function offerStatuses() {
  const known = new Set(data.series.flatMap((one) => [...new Set(unpack(one.status))].map(statusName)));
  if (data.series.some((one) => one.found)) known.add("attacked");
  statusBox.append(...[...data.statuses, "attacked"].filter((name) => known.has(name)).map((name) => html("option", {}, name)));
}

list.addEventListener("toggle", offerStatuses, { once: true });
list.addEventListener("toggle", listImages);
statusBox.addEventListener("change", () => turnTo(0));
findBox.addEventListener("input", () => turnTo(0));
images.querySelector(".back").addEventListener("click", () => turnTo(page - 1));
images.querySelector(".on").addEventListener("click", () => turnTo(page + 1));
pageBox.addEventListener("change", () => turnTo(Math.max(0, Math.round(+pageBox.value || 1) - 1)));
images.querySelector(".save").addEventListener("click", () => {
  const heads = ["index", "true label", ...series.map((one) => `${one.name}, ${one.norm}, k = ${one.k}`)];
  const rows = chosenRows().map(({ cells }) => cells.map((cell) => (Number.isNaN(cell) ? "" : cell)));
  download(`radii-${norm().key}.csv`, csv([heads, ...rows]));
});
