// The state of the controls in the address, so that a view can be sent to others.

let written = "";

function writeAddress() {
  const runs = checked("run");
  const state = new URLSearchParams({ norm: norm().key, k: checked("k").join(","), r: chosenText(at) });
  if (runs.length < data.runs.length) state.set("runs", runs.join(","));
  if (form.elements.class.value) state.set("class", form.elements.class.value);
  if (form.elements.bands.checked !== form.elements.bands.defaultChecked) state.set("bands", +form.elements.bands.checked);
  written = `#${state}`;
  history.replaceState(null, "", written);
}

// browsers allow few changes of the address in a second
let waiting = 0;
function keepAddress() {
  clearTimeout(waiting);
  waiting = setTimeout(writeAddress, 150);
}

// the radius that an address names; NaN where it names no state, as that of a section
function readAddress() {
  const state = new URLSearchParams(location.hash.slice(1));
  if (!data.norms.some((known) => known.key === state.get("norm"))) return NaN;
  form.querySelector(`input[name=norm][value=${state.get("norm")}]`).checked = true;
  const check = (name, wanted) =>
    form.querySelectorAll(`input[name=${name}]`).forEach((input) => (input.checked = wanted.includes(input.value)));
  if (state.has("k")) check("k", state.get("k").split(","));
  check("run", state.has("runs") ? state.get("runs").split(",") : data.runs.map((_, number) => String(number)));
  form.elements.class.value = labelOf.has(state.get("class")) ? state.get("class") : "";
  form.elements.bands.checked = state.has("bands") ? state.get("bands") === "1" : form.elements.bands.defaultChecked;
  return parseRadius(state.get("r") ?? "");
}
