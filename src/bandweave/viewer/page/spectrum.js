// The values of all files at the place that was clicked: a plot, and the same as a table.

import { bandName, element } from "./panel.js";
import { geographicText, groundText } from "./readout.js";

const [WIDTH, HEIGHT] = [330, 180];
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 10, 8, 28];
const STEPS = 4; // lines of the grid
const HUES = 6;

function svg(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

/** One column per file that holds data here, and the differences that are shown. */
function columns(place, scene, shownKeys) {
  const found = place.spectra.map((one, k) => ({
    layer: scene.layers.find((layer) => layer.key === one.layer),
    values: one.values, row: one.row, col: one.col, hue: `c${k % HUES}`,
  }));
  const byKey = new Map(found.map((one) => [one.layer.key, one]));
  for (const layer of scene.layers) {
    if (layer.difference === null || !shownKeys.includes(layer.key)) continue;
    const [a, b] = [layer.difference.first, layer.difference.second].map((key) => byKey.get(key));
    const isKnown = a.values !== null && b.values !== null;
    const values = isKnown ? a.values.map((value, k) => Math.abs(value - b.values[k])) : null;
    found.push({ ...a, layer, values, hue: `c${found.length % HUES}` });
  }
  return found;
}

/** Wavelengths where every file with several bands has them, else band numbers. */
function abscissa(shown) {
  const several = shown.filter((one) => one.values.length > 1);
  const labels = (one) => one.layer.bands.slice(one.layer.difference === null ? 0 : 1);
  const isKnown = several.length > 0
    && several.every((one) => labels(one).every((band) => band.wavelength !== null));
  return {
    title: isKnown ? "wavelength, nm" : "band",
    of: (one) => labels(one).map((band, k) => (isKnown ? band.wavelength : k + 1)),
  };
}

function roundStep(range) {
  const power = 10 ** Math.floor(Math.log10(range / STEPS));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step * STEPS >= range * 0.999);
}

function plot(shown) {
  const axis = abscissa(shown);
  const values = shown.flatMap((one) => one.values);
  const places = shown.filter((one) => one.values.length > 1).flatMap(axis.of);
  const [first, last] = places.length ? [Math.min(...places), Math.max(...places)] : [0, 1];
  const [least, most] = [Math.min(0, ...values), Math.max(...values, 0)];
  const step = roundStep(most - least || 1);
  const [low, high] = [Math.floor(least / step) * step, Math.ceil(most / step) * step || step];
  const x = (place) => LEFT + ((place - first) / (last - first || 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const drawing = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `DN by ${axis.title}; the table has the values`,
  });
  for (let value = low; value <= high + step / 2; value += step) {
    drawing.append(
      svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
      svg("text", { x: LEFT - 5, y: y(value) + 4, "text-anchor": "end" }, Number(value.toPrecision(6))),
    );
  }
  drawing.append(
    svg("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y(low), y2: y(low) }),
    svg("text", { x: LEFT, y: HEIGHT - 14 }, places.length ? first : ""),
    svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 14, "text-anchor": "end" }, places.length ? last : ""),
    svg("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, `DN by ${axis.title}`),
  );
  for (const one of shown) drawing.append(...curve(one, axis.of(one), x, y));
  return drawing;
}

/** A line with a dot per band; of a single band a dashed line across, since it spans many. */
function curve({ values, hue }, places, x, y) {
  if (values.length === 1) {
    const across = { x1: LEFT, x2: WIDTH - RIGHT, y1: y(values[0]), y2: y(values[0]) };
    return [svg("line", { class: `curve ${hue}`, "stroke-dasharray": "6 4", ...across })];
  }
  const points = values.map((value, k) => [x(places[k]), y(value)]);
  const line = svg("polyline", { class: `curve ${hue}`, points: points.join(" ") });
  if (values.length > 40) return [line];
  const dots = points.map(([cx, cy]) => svg("circle", { class: `dot ${hue}`, cx, cy, r: 3 }));
  return [line, ...dots];
}

function table(shown) {
  const longest = shown.reduce((one, other) => (other.values.length > one.values.length ? other : one));
  const heads = shown.map(({ layer, hue, row, col }) => element(
    "th", { className: `key ${hue}`, scope: "col", title: `row ${row}, column ${col}` }, layer.name
  ));
  const rows = longest.values.map((_, k) => element("tr", {},
    element("th", { scope: "row" }, bandName(longest.layer, k + 1)),
    ...shown.map(({ values }) => element("td", {}, k < values.length ? dn(values[k]) : "")),
  ));
  return element("div", { className: "table", tabIndex: 0, role: "region", "aria-label": "Values in DN" },
    element("table", {},
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "band"), ...heads)),
      element("tbody", {}, ...rows)));
}

function dn(value) {
  return Number(value.toPrecision(6)).toString();
}

export function drawSpectrum(root, place, scene, shownKeys) {
  const all = columns(place, scene, shownKeys);
  const shown = all.filter((one) => one.values !== null);
  const where = [`column ${Math.floor(place.x)}, row ${Math.floor(place.y)}`];
  if (place.ground !== null) where.push(groundText(place.ground, scene));
  if (place.geographic !== null) where.push(geographicText(place.geographic));
  const parts = [element("p", {}, where.join(" · "))];
  if (shown.length > 0) parts.push(plot(shown), table(shown));
  const empty = all.filter((one) => one.values === null).map((one) => one.layer.name);
  if (empty.length > 0) parts.push(element("p", {}, `No data here: ${empty.join(", ")}.`));
  root.replaceChildren(...parts);
}
