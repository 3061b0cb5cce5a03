// The controls beside the picture: which layers, which bands, which stretch.

const MODES = [
  ["2,98", "2 to 98 %"], ["0.5,99.5", "0.5 to 99.5 %"], ["0,100", "least to greatest"],
  ["fixed", "fixed DN"],
];
const COLOURS = ["Red", "Green", "Blue"];

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function choice(label, options, value, onChange) {
  const select = element("select", {}, ...options);
  select.value = value;
  select.addEventListener("change", () => onChange(select.value));
  return element("label", {}, `${label} `, select);
}

function options(pairs) {
  return pairs.map(([value, text]) => element("option", { value, textContent: text }));
}

function layerOptions(layers) {
  const named = (some) => options(some.map((layer) => [layer.key, layer.name]));
  const differences = layers.filter((layer) => layer.difference !== null);
  const files = named(layers.filter((layer) => layer.difference === null));
  if (differences.length === 0) return files;
  return [
    element("optgroup", { label: "Files" }, ...files),
    element("optgroup", { label: "Absolute differences" }, ...named(differences)),
  ];
}

export function bandName(layer, band) {
  const { name } = layer.bands[band - layer.firstBand];
  if (band === 0) return name;
  return name === `band ${band}` ? String(band) : `${band} ${name}`;
}

/** Controls of one side of the swipe: its layer, and the bands that layer shows. */
export function drawSide(root, title, side, { scene, shown, bands }, { onLayer, onBands }) {
  const layer = scene.layers.find((one) => one.key === shown[side]);
  const all = layer.bands.map((_, k) => [k + layer.firstBand, bandName(layer, k + layer.firstBand)]);
  const own = bands.get(layer.key);
  const setBand = (place) => (value) => onBands(layer, own.with(place, Number(value)));
  const parts = [choice("", layerOptions(scene.layers), layer.key, (key) => onLayer(side, key))];
  parts[0].firstElementChild.ariaLabel = `${title} layer`;
  if (all.length > 1) {
    const count = choice("Show", options([[1, "one"], [3, "three"]]), own.length,
      (value) => onBands(layer, value === "3" ? colourBands(layer) : [own[0]]));
    const labels = own.length === 3 ? COLOURS : ["Band"];
    const selects = own.map((band, k) => choice(labels[k], options(all), band, setBand(k)));
    parts.push(element("div", { className: "row" }, count, ...selects));
  }
  // A control that was in use keeps the focus although it is made anew.
  const focused = [...root.querySelectorAll("select")].indexOf(document.activeElement);
  root.replaceChildren(element("fieldset", {}, element("legend", {}, title), ...parts));
  root.querySelectorAll("select")[focused]?.focus();
}

/** The layer's own three bands, or any where it starts with one. */
export function colourBands(layer) {
  if (layer.shown.length === 3) return [...layer.shown];
  const last = layer.firstBand + layer.bands.length - 1;
  return [3, 2, 1].map((band) => Math.min(band, last));
}

/** Controls of the stretch; `onChange` gets {mode, source, fixed}. */
export function attachStretch(scene, onChange) {
  const find = (id) => document.getElementById(id);
  const [mode, source] = [find("stretch-mode"), find("stretch-source")];
  const fixed = [find("fixed-low"), find("fixed-high")];
  const files = scene.layers.filter((layer) => layer.difference === null);
  mode.replaceChildren(...options(MODES));
  source.replaceChildren(
    ...options([["own", "each layer itself"], ...files.map((one) => [one.key, one.name])])
  );
  const changed = () => {
    const isFixed = mode.value === "fixed";
    find("fixed").hidden = !isFixed;
    source.disabled = isFixed;
    const [low, high] = fixed.map((field) => field.valueAsNumber);
    fixed[1].setCustomValidity(low < high ? "" : "White must lie above black.");
    if (isFixed && !(low < high)) fixed[1].reportValidity();
    else onChange({ mode: mode.value, source: source.value, fixed: [low, high] });
  };
  for (const field of [mode, source, ...fixed]) field.addEventListener("change", changed);
}

function dn(value) {
  return Number(value.toPrecision(5)).toString();
}

/** Say which DN are black and white in the layers shown. */
export function drawLimits(root, shown) {
  root.replaceChildren(...shown.flatMap(({ layer, bands, limits, origin }) => {
    const spans = limits.map(([low, high], k) => {
      const label = bands.length === 3 ? `${COLOURS[k][0]} ` : "";
      return `${label}${dn(low)} to ${dn(high)}`;
    });
    return [
      element("dt", {}, layer.name), element("dd", {}, `${spans.join(", ")} DN ${origin}`.trim()),
    ];
  }));
}
