// The data of the page: arrays are texts until they are needed (packing.py).

const data = JSON.parse(document.getElementById("data").textContent);
const TYPES = { B: Uint8Array, H: Uint16Array, I: Uint32Array, f: Float32Array, d: Float64Array };

function once(make) {
  const known = new Map();
  return (key) => known.get(key) ?? known.set(key, make(key)).get(key);
}

const unpack = once((number) => {
  const text = atob(data.packs[number].slice(1)), bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
  return new TYPES[data.packs[number][0]](bytes.buffer);
});

// lengths are stored as they are, or as distinct values and the place of each among these
function lengths([values, places]) {
  if (places === undefined) return unpack(values);
  const distinct = unpack(values);
  return Float64Array.from(unpack(places), (place) => distinct[place]);
}

const CORRECT = 8; // added to the status of images whose prediction is right
const CERTIFIED = data.statuses.indexOf("certified");
const every = { index: unpack(data.images.index), label: unpack(data.images.label) };
const className = (label) => data.classes[label] ?? String(label);
