// Making elements of the page, and files to save.

const SVG = "http://www.w3.org/2000/svg";

function element(space, name, attributes, ...content) {
  const node = space ? document.createElementNS(space, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...content);
  return node;
}

const html = (name, attributes, ...content) => element(null, name, attributes, ...content);
const svg = (name, attributes, ...content) => element(SVG, name, attributes, ...content);

// a text that often stays as it is: the browser lays out what was set again, even to the same value
function write(text, value) {
  if (text.data !== value) text.data = value;
}

// the shape of a run's marker, drawn around the origin
function shape(number, attributes) {
  const drawn = document.getElementById(`m${number}`).cloneNode();
  drawn.removeAttribute("id");
  for (const [key, value] of Object.entries(attributes)) drawn.setAttribute(key, value);
  return drawn;
}

// the line and marker of a run, beside its name; hollow for the larger of several k
function key(one, hollow = false) {
  return svg(
    "svg",
    { class: "key", viewBox: "0 0 26 10", "aria-hidden": "true", style: `color: ${one.colour}` },
    svg("path", { d: "M0 5H26", "stroke-dasharray": one.dash }),
    shape(one.marker, { transform: "translate(13 5)", ...(hollow && { class: "hollow" }) }),
  );
}

const quoted = (cell) => (/[",\n]/.test(cell) ? `"${String(cell).replaceAll('"', '""')}"` : String(cell ?? ""));
const csv = (rows) => rows.map((row) => `${row.map(quoted).join(",")}\n`).join("");

function download(name, content, type = "text/csv") {
  const address = URL.createObjectURL(new Blob([content], { type }));
  html("a", { download: name, href: address }).click();
  URL.revokeObjectURL(address);
}
