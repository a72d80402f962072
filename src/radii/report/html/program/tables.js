// The tables of the page: sorted by a click on a column head, saved as CSV.

const number = (cell) => parseFloat(cell.textContent.replaceAll(",", ""));

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    const button = html("button", { type: "button" }, ...head.childNodes);
    button.addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction);
      // a dash comes below 0
      const value = (row) => (isNaN(number(row.cells[place])) ? -1 : number(row.cells[place]));
      const rows = [...table.tBodies[0].rows].sort((first, second) => {
        const text = first.cells[place].textContent.localeCompare(second.cells[place].textContent);
        const difference = place === 0 ? text : value(first) - value(second);
        return direction === "descending" ? -difference : difference;
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
// they follow the program in the page
addEventListener("DOMContentLoaded", () => document.querySelectorAll("table[data-file]").forEach(makeSortable));
