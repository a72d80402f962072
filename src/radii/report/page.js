"use strict";
// Draws what the data in the page say. Nothing is loaded, nothing is sent, nothing is kept.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const section = document.getElementById("explore");
  const form = section.querySelector("form");
  const chart = section.querySelector(".chart");
  const slider = section.querySelector("input[type=range]");
  const reading = section.querySelector("output");
  const readout = section.querySelector(".readout tbody");
  const images = section.querySelector(".images");
  const FEW = 20;
  const MARGIN = { left: 46, right: 14, top: 10, bottom: 44 };
  let order = { column: 0, descending: false };
  let shown = FEW;

  // ---- elements

  const SVG = "http://www.w3.org/2000/svg";
  function element(space, name, attributes, ...content) {
    const made = space ? document.createElementNS(space, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...content);
    return made;
  }
  const html = (name, attributes, ...content) => element(null, name, attributes, ...content);
  const svg = (name, attributes, ...content) => element(SVG, name, attributes, ...content);
  const dot = (colour) => html("span", { class: "dot", style: `color: ${colour}` });

  // ---- what is asked

  const checked = (name) => [...form.querySelectorAll(`input[name=${name}]:checked`)].map((one) => +one.value);
  const norm = () => data.norms.find((one) => one.key === form.querySelector("input[name=norm]:checked").value);
  const scale = () => (norm().key === "linf" ? 255 : 1);
  const whole = () => norm().key === "l0";

  // of each chosen run and k: rows of images, radii, and lengths of attacks, of the chosen class
  function chosen() {
    const runs = checked("run"), ks = checked("k"), label = form.elements.class.value;
    const fits = (row) => label === "" || data.images.label[row] === +label;
    return data.series
      .filter((one) => one.norm === norm().key && runs.includes(one.run) && ks.includes(one.k))
      .map((one) => {
        const run = data.runs[one.run];
        const places = run.rows.map((_, place) => place).filter((place) => fits(run.rows[place]));
        const rows = places.map((place) => run.rows[place]);
        const found = one.found && places.map((place) => one.found[place]);
        const rank = ks.indexOf(one.k), ink = `${Math.round(100 - (55 * rank) / ks.length)}%`;
        const colour = `color-mix(in oklab, var(--run${one.run}) ${ink}, var(--paper))`;
        return { ...one, name: run.name, rows, radii: places.map((place) => one.radii[place]), found, colour };
      });
  }

  // ---- numbers

  const share = (count, of) => (of ? count / of : 0);
  const certified = (one, radius) =>
    share(one.radii.filter((held) => held !== null && held >= radius).length, one.radii.length);
  const left = (one, radius) =>
    share(
      one.radii.filter((held, at) => held !== null && !(one.found[at] !== null && one.found[at] <= radius)).length,
      one.radii.length,
    );
  const percent = (part) => `${(100 * part).toFixed(1)} %`;
  const down = (value, digits) => (Math.floor(value * 10 ** digits) / 10 ** digits).toFixed(digits);
  function written(radius) {
    if (radius === null) return "–";
    if (norm().key === "linf") return `${down(radius * 255, 2)}/255`;
    return down(radius, whole() && Number.isInteger(radius) ? 0 : 3);
  }
  const sorted = (values) => Float64Array.from(values).sort();
  const mean = (one) => share(one.radii.reduce((sum, held) => sum + (held ?? 0), 0), one.radii.length);
  const median = (one) => sorted(one.radii.map((held) => held ?? 0))[Math.floor(one.radii.length / 2)] ?? 0;

  // how far the axis goes: as anything is certified, and three quarters of the attacks
  function limit(series) {
    const reached = series.flatMap((one) => {
      const lengths = sorted((one.found ?? []).filter((length) => length !== null));
      return [lengths[Math.floor(0.75 * lengths.length)] ?? 0, ...one.radii.map((held) => held ?? 0)];
    });
    const most = reached.reduce((one, two) => Math.max(one, two), 0);
    return most || (whole() ? 3 : 1 / scale());
  }

  function ticks(most, room) {
    const rough = most / Math.max(2, Math.floor(room / 70)), power = 10 ** Math.floor(Math.log10(rough));
    let step = [1, 2, 2.5, 5, 10].map((digit) => digit * power).find((one) => one >= rough);
    if (whole()) step = Math.max(1, Math.ceil(step));
    return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, count) => count * step);
  }

  // ---- the chart

  const size = { width: 0, height: 0, last: 1 };
  const across = (radius) =>
    MARGIN.left + (radius / size.last) * (size.width - MARGIN.left - MARGIN.right);
  const up = (part) => MARGIN.top + (1 - part) * (size.height - MARGIN.top - MARGIN.bottom);

  // a falling staircase: `ends` are the radii after which one image less is left
  function staircase(start, ends, of) {
    let path = `M${across(0).toFixed(1)} ${up(share(start, of)).toFixed(1)}`, count = start;
    for (const end of ends) {
      if (end > size.last) break;
      path += `H${across(end).toFixed(1)}V${up(share(--count, of)).toFixed(1)}`;
    }
    return path;
  }

  function curves(one) {
    const held = sorted(one.radii.filter((radius) => radius !== null)), of = one.radii.length;
    const drawn = [svg("path", { d: staircase(held.length, held, of), class: "curve", style: `stroke: ${one.colour}` })];
    if (one.found) {
      const ends = sorted(one.found.filter((length, at) => length !== null && one.radii[at] !== null));
      const path = `${staircase(held.length, ends, of)}H${across(size.last).toFixed(1)}`;
      drawn.push(svg("path", { d: path, class: "curve found", style: `stroke: ${one.colour}` }));
    }
    return drawn;
  }

  function axes() {
    const grid = [0, 0.2, 0.4, 0.6, 0.8, 1].flatMap((part) => [
      svg("line", { x1: MARGIN.left, x2: size.width - MARGIN.right, y1: up(part), y2: up(part), class: "grid" }),
      svg("text", { x: MARGIN.left - 7, y: up(part) + 4, "text-anchor": "end" }, `${Math.round(100 * part)} %`),
    ]);
    const ends = ticks(size.last * scale(), size.width).flatMap((tick) => [
      svg("line", { x1: across(tick / scale()), x2: across(tick / scale()), y1: up(0), y2: up(0) + 4, class: "tick" }),
      svg(
        "text",
        { x: across(tick / scale()), y: up(0) + 18, "text-anchor": "middle" },
        +tick.toPrecision(6) + (tick && scale() > 1 ? "/255" : ""),
      ),
    ]);
    const name = svg(
      "text",
      { x: (MARGIN.left + size.width) / 2, y: size.height - 6, "text-anchor": "middle", class: "name" },
      `${norm().name} radius (${norm().unit})`,
    );
    return [...grid, ...ends, name];
  }

  function draw(series) {
    size.width = chart.clientWidth;
    size.height = Math.min(420, Math.max(250, 0.5 * size.width));
    const words = series.map(
      (one) => `${one.name}, k = ${one.k}: ${percent(certified(one, 0))} at 0, ${percent(certified(one, +slider.value))} at ${written(+slider.value)}`,
    );
    const drawing = svg("svg", {
      role: "img",
      viewBox: `0 0 ${size.width} ${size.height}`,
      "aria-label": `Certified accuracy against ${norm().name} radius. ${words.join("; ")}.`,
    });
    drawing.append(...axes(), ...series.flatMap(curves));
    const at = across(+slider.value);
    drawing.append(svg("line", { x1: at, x2: at, y1: up(1), y2: up(0), class: "cursor" }));
    for (const one of series)
      drawing.append(
        svg("circle", { cx: at, cy: up(certified(one, +slider.value)), r: 3.5, style: `fill: ${one.colour}` }),
      );
    chart.replaceChildren(drawing);
  }

  // ---- what the curves say at one radius

  function read(series) {
    const radius = +slider.value, attacked = series.some((one) => one.found);
    reading.textContent = written(radius);
    slider.setAttribute("aria-valuetext", written(radius));
    section.querySelectorAll(".readout .found").forEach((head) => (head.hidden = !attacked));
    readout.replaceChildren(
      ...series.map((one) =>
        html(
          "tr",
          {},
          html("th", { scope: "row" }, dot(one.colour), one.name),
          html("td", {}, one.k),
          html("td", {}, percent(certified(one, radius))),
          ...(attacked ? [html("td", {}, one.found ? percent(left(one, radius)) : "–")] : []),
          html("td", {}, written(mean(one))),
          html("td", {}, written(median(one))),
        ),
      ),
    );
    section.querySelector(".nothing").hidden = series.length > 0;
  }

  // ---- every image

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
        list(chosen());
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

  const quoted = (cell) => (/[",\n]/.test(cell) ? `"${String(cell).replaceAll('"', '""')}"` : String(cell ?? ""));
  const csv = (rows) => rows.map((row) => `${row.map(quoted).join(",")}\n`).join("");

  function download(name, text) {
    const link = html("a", { download: name, href: URL.createObjectURL(new Blob([text], { type: "text/csv" })) });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  images.querySelector(".more").addEventListener("click", () => {
    shown += 100;
    list(chosen());
  });
  images.querySelector(".save").addEventListener("click", () => {
    const series = chosen();
    const heads = ["index", "true label", ...series.map((one) => `${one.name}, ${one.norm}, k = ${one.k}`)];
    download(`radii-${norm().key}.csv`, csv([heads, ...rowsOf(series).sort(compare)]));
  });

  // ---- tables that are in the page already

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

  // ---- together

  function show() {
    const series = chosen();
    draw(series);
    read(series);
  }
  function ask(event) {
    const series = chosen(), ks = checked("k");
    size.last = limit(data.series.filter((one) => one.norm === norm().key && ks.includes(one.k)));
    slider.max = size.last;
    slider.step = whole() ? 1 : "any";
    if (!event || event.target.name === "norm") {
      const round = ticks(size.last * scale(), 500);
      slider.value = round[Math.ceil((round.length - 1) / 3)] / scale();
    }
    shown = FEW;
    show();
    list(series);
  }
  form.addEventListener("change", ask);
  form.addEventListener("submit", (event) => event.preventDefault());
  slider.addEventListener("input", show);
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const part = (event.clientX - box.left - MARGIN.left) / (size.width - MARGIN.left - MARGIN.right);
    slider.value = Math.min(1, Math.max(0, part)) * size.last;
    show();
  });
  new ResizeObserver(() => chart.clientWidth !== size.width && show()).observe(chart);

  // paper has no switches: what is folded away is printed too
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((one) => (one.open = true));
  });
  addEventListener("afterprint", () => folded.forEach((one) => (one.open = false)));

  section.hidden = false;
  document.querySelector("nav a[href='#explore']").hidden = false;
  ask();
})();
