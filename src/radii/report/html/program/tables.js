// Tables that are in the page already: sorted by their heads, saved as CSV.

const number = (cell) => parseFloat(cell.textContent.replaceAll(",", ""));
function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    const button = html("button", { type: "button" }, ...head.childNodes);
    button.addEventListener("click", () => {
      const way = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way);
      const value = (row) => number(row.cells[place]);
      const rows = [...table.tBodies[0].rows].sort((one, two) => {
        const [a, b] = [value(one), value(two)];
        const text = one.cells[place].textContent.localeCompare(two.cells[place].textContent);
        const up = place === 0 ? text : (isNaN(a) ? -1 : a) - (isNaN(b) ? -1 : b);
        return way === "descending" ? -up : up;
      });
      table.tBodies[0].append(...rows);
    });
    head.append(button);
  });
  const save = html("button", { type: "button", class: "save" }, "CSV");
  save.addEventListener("click", () =>
    download(`${table.dataset.file}.csv`, csv([...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent.trim())))),
  );
  table.caption.append(" ", save);
}
document.querySelectorAll("table[data-file]").forEach(sortable);
