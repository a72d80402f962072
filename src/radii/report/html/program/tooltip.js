// The tooltip at the pointer: the values of the curves, the highest first. The readout has the same for the keyboard.

const tip = chart.querySelector(".tip");
const MOST_LINES = 10;
const tipTitle = new Text(), tipLines = html("tbody", {}), tipRest = new Text();
tip.append(html("b", {}, tipTitle), html("table", {}, tipLines), tipRest);
let tipLine; // the row of a series, made when it is first shown, and the texts that change with the radius

function fillTip() {
  const ks = checked("k");
  tipLine = once((one) => {
    const texts = [new Text(), new Text(), new Text()], [certified, interval, attacked] = texts;
    const name = ks.length > 1 ? `${one.name}, k = ${one.k}` : one.name;
    const row = html("tr", {}, html("th", {}, key(one, one.k > ks[0]), name),
      html("td", {}, certified), html("td", { class: "interval" }, interval), html("td", {}, attacked));
    return { row, texts };
  });
}

function showTip(series) {
  const ranked = series.map((one) => ({ one, count: countAt(one, at) }));
  ranked.sort((first, second) => share(second.count, second.one.of) - share(first.count, first.one.of));
  const rows = ranked.slice(0, MOST_LINES).map(({ one, count }) => {
    const { row, texts } = tipLine(one);
    const values = [percent(share(count, one.of)), range(interval(count, one.of)), one.lost ? `≤ ${percent(underAttack(one, at))}` : ""];
    texts.forEach((text, place) => write(text, values[place]));
    return row;
  });
  const left = series.length - rows.length;
  write(tipTitle, `${norm().name} radius ${chosenText(at)}`);
  write(tipRest, left > 0 ? `and ${left} more` : "");
  if (rows.length !== tipLines.rows.length || rows.some((row, place) => tipLines.rows[place] !== row)) tipLines.replaceChildren(...rows);
  tip.hidden = !series.length;
  // on the side with more room, always inside the chart
  const x = across(at), before = x > size.width / 2;
  tip.style.left = before ? "auto" : `${x + 14}px`;
  tip.style.right = before ? `${size.width - x + 14}px` : "auto";
}

const hideTip = () => (tip.hidden = true);
