// The strip under the axis: the best run of each interval of radii, where paired tests separate one from all others.

const STRIP = 9; // pixels of its height

function strip(series) {
  // of all runs on all images, for the smallest k: another selection was not tested
  const intervals = data.strips[norm().key], smallest = Math.min(...data.series.filter((one) => one.norm === norm().key).map((one) => one.k));
  if (data.runs.length < 2 || chosenClass() !== undefined || !series.some((one) => one.k === smallest)) return [];
  const top = size.height - STRIP - 14;
  return [
    ...intervals.flatMap(({ start, end, text, winners, colours, clear }) => {
      const left = across(start + halfUnit() * (start > 0)), right = across(Math.min(end + halfUnit(), size.last));
      if (left >= right || !winners.length) return [];
      const words = clear ? `${winners[0]} is the best at ${text}` : `no clear difference at ${text}: ${winners.join(", ")}`;
      const box = svg(
        "rect",
        { x: left + 0.5, y: top, width: Math.max(0.5, right - left - 1), height: STRIP, class: clear ? "best" : "unclear", style: clear ? `fill: ${colours[0]}` : "" },
        svg("title", {}, words),
      );
      const room = right - left > 6.2 * winners[0].length + 8;
      const name = clear && room ? [svg("text", { x: (left + right) / 2, y: top + STRIP + 11, "text-anchor": "middle" }, winners[0])] : [];
      return [box, ...name];
    }),
    svg("text", { x: MARGIN.left - 7, y: top + 8, "text-anchor": "end" }, "best"),
  ];
}
