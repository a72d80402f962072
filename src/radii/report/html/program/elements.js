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
const dot = (colour) => html("span", { class: "dot", style: `color: ${colour}` });

const quoted = (cell) => (/[",\n]/.test(cell) ? `"${String(cell).replaceAll('"', '""')}"` : String(cell ?? ""));
const csv = (rows) => rows.map((row) => `${row.map(quoted).join(",")}\n`).join("");

function download(name, text) {
  const link = html("a", { download: name, href: URL.createObjectURL(new Blob([text], { type: "text/csv" })) });
  link.click();
  URL.revokeObjectURL(link.href);
}
