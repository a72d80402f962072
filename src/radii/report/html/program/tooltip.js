// The tooltip at the pointer: the values of the curves, the highest first. The readout has the same for the keyboard.

const tip = chart.querySelector(".tip");
const MOST_LINES = 10;

function showTip(series) {
  const ranked = [...series].sort((first, second) => countAt(second, at) / second.of - countAt(first, at) / first.of);
  const several = checked("k").length > 1;
  const rows = ranked.slice(0, MOST_LINES).map((one) => {
    const count = countAt(one, at);
    return html(
      "tr",
      {},
      html("th", {}, key(one, one.k > checked("k")[0]), several ? `${one.name}, k = ${one.k}` : one.name),
      html("td", {}, percent(share(count, one.of))),
      html("td", { class: "interval" }, range(interval(count, one.of))),
      html("td", {}, one.lost ? `≤ ${percent(underAttack(one, at))}` : ""),
    );
  });
  const left = series.length - rows.length;
  tip.replaceChildren(html("b", {}, `${norm().name} radius ${chosenText(at)}`), html("table", {}, html("tbody", {}, ...rows)));
  if (left > 0) tip.append(`and ${left} more`);
  tip.hidden = !series.length;
  // on the side with more room, always inside the chart
  const x = across(at), before = x > size.width / 2;
  tip.style.left = before ? "auto" : `${x + 14}px`;
  tip.style.right = before ? `${size.width - x + 14}px` : "auto";
}

const hideTip = () => (tip.hidden = true);
