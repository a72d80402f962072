// The chart as a file: SVG and PNG as it is seen, and the corners of its curves as CSV.

const DRAWN = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "paint-order", "font-size", "font-family", "font-weight"];

// a copy that needs no style sheet: every property that the page sets, written out
function standalone() {
  const original = drawing.firstChild, copy = original.cloneNode(true);
  const paper = getComputedStyle(document.documentElement).getPropertyValue("--paper");
  const sources = original.querySelectorAll("*"), targets = copy.querySelectorAll("*");
  sources.forEach((source, place) => {
    const seen = getComputedStyle(source), target = targets[place];
    target.removeAttribute("style");
    DRAWN.forEach((name) => target.setAttribute(name, seen.getPropertyValue(name)));
  });
  copy.querySelectorAll(".cursor, .here").forEach((node) => node.remove());
  copy.querySelectorAll("[class]").forEach((node) => node.removeAttribute("class"));
  copy.setAttribute("xmlns", SVG);
  copy.setAttribute("width", size.width);
  copy.setAttribute("height", size.height);
  copy.prepend(svg("rect", { width: "100%", height: "100%", fill: paper }));
  return new XMLSerializer().serializeToString(copy);
}

function savePng(name) {
  const image = new Image(), canvas = html("canvas", { width: 2 * size.width, height: 2 * size.height });
  image.onload = () => {
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => download(name, blob, "image/png"));
  };
  // an address that holds the picture: the page loads nothing
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone())}`;
}

// a row for each radius at which the certified accuracy or that under attack of a run changes
function curveRows(series) {
  const rows = series.flatMap((one) =>
    [...new Set([0, ...one.held, ...(one.lost ?? [])])]
      .sort((first, second) => first - second)
      .map((radius) => {
        const count = countAt(one, radius), [low, high] = interval(count, one.of);
        return [one.name, one.norm, one.k, radius, share(count, one.of), low, high, one.lost ? underAttack(one, radius) : ""];
      }),
  );
  return [["run", "norm", "k", "radius", "certified", "low", "high", "under_attack"], ...rows];
}

section.querySelectorAll("[data-save]").forEach((button) =>
  button.addEventListener("click", () => {
    const name = `accuracy-${norm().key}.${button.dataset.save}`;
    if (button.dataset.save === "svg") download(name, standalone(), "image/svg+xml");
    if (button.dataset.save === "png") savePng(name);
    if (button.dataset.save === "csv") download(name, csv(curveRows(series)));
  }),
);
