// One image: its picture, and for each run its votes, status, and radii in all norms.

const MAGNIFIED = 112, BESIDE = 56;
const loaded = new Map();

function loadSheet(sheet) {
  if (!loaded.has(sheet)) loaded.set(sheet, Object.assign(new Image(), { src: sheet.uri }));
  return loaded.get(sheet);
}

// a picture of an image from a sheet, or nothing where the sheet does not hold it
function picture(sheet, row, width, words = `image ${every.index[row]}`) {
  const place = sheet?.places[every.index[row]];
  if (place === undefined) return [];
  const { columns, width: wide, height: high } = sheet, image = loadSheet(sheet);
  const canvas = html("canvas", { width: wide, height: high, role: "img", "aria-label": words, title: words, style: `width: ${width}px` });
  const draw = () =>
    canvas.getContext("2d").drawImage(image, (place % columns) * wide, Math.floor(place / columns) * high, wide, high, 0, 0, wide, high);
  if (image.complete) draw();
  else image.addEventListener("load", draw);
  return [canvas];
}

const placeIn = once((number) => new Map(Array.from(unpack(data.runs[number].rows), (row, place) => [row, place])));
const statusName = (status) => data.statuses[status % CORRECT];

// the classes with the most votes, and the true one
function votesOf(run, place, label) {
  const votes = run.votes;
  if (!votes) return ["–"];
  const total = unpack(votes.total)[place] || 1, labels = unpack(votes.labels), counts = unpack(votes.counts);
  const shown = Array.from({ length: votes.each }, (_, rank) => [labels[place * votes.each + rank], counts[place * votes.each + rank]]);
  if (!shown.some(([known]) => known === label)) shown.push([label, unpack(votes.own)[place]]);
  return shown
    .filter(([known, count]) => count || known === label)
    .map(([known, count]) =>
      html("span", { class: `bar${known === label ? " true" : ""}` },
        html("span", {}, className(known)),
        html("span", {}, `${+((100 * count) / total).toPrecision(3)} %`),
        html("i", { style: `width: ${(100 * count) / total}%` })),
    );
}

function runRow(run, number, row) {
  const place = placeIn(number).get(row);
  if (place === undefined) return [];
  const k = Math.min(...data.series.filter((one) => one.run === number).map((one) => one.k));
  const ofNorm = (key) => data.series.find((one) => one.run === number && one.norm === key && one.k === k);
  const first = data.series.find((one) => one.run === number && one.k === k);
  const found = (one) => (one.found ? lengths(one.found)[place] : Infinity);
  const cells = data.norms.map((known) => {
    const one = ofNorm(known.key);
    if (!one) return html("td", {}, "");
    const attack = isFinite(found(one)) ? [html("br", {}), html("small", {}, `attacked at ${radiusText(found(one), known.key)}`)] : [];
    const shown = picture(one.perturbed, row, BESIDE, `image ${every.index[row]}, perturbed in ${known.name}`);
    if (shown.length) attack.push(html("br", {}), ...shown);
    return html("td", {}, radiusText(lengths(one.radii)[place], known.key), ...attack);
  });
  const line = { colour: `var(--run${number})`, dash: run.dash, marker: run.marker };
  return [
    html("tr", { style: `--run: ${line.colour}` },
      html("th", { scope: "row" }, key(line), run.name),
      html("td", { class: "votes" }, ...votesOf(run, place, every.label[row])),
      html("td", {}, statusName(unpack(first.status)[place])),
      ...cells),
  ];
}

// a row of the table that spans `width` columns
function detailRow(row, width) {
  const heads = ["run", "votes", "status", ...data.norms.map((known) => known.name)];
  const table = html("table", {},
    html("thead", {}, html("tr", {}, ...heads.map((name) => html("th", { scope: "col" }, name)))),
    html("tbody", {}, ...data.runs.flatMap((run, number) => runRow(run, number, row))));
  const words = html("p", {}, html("b", {}, className(every.label[row])), ` is the true label of image ${every.index[row]}.`);
  return html("tr", { class: "detail" }, html("td", { colspan: width }, html("div", {}, ...picture(data.sheet, row, MAGNIFIED), html("div", {}, words, table))));
}
