// The scale bar, and the coordinates under the cursor.

import { askJson } from "./service.js";

const BAR = 120; // CSS pixels that the scale bar takes at most

/** The largest of 1, 2, 5, 10, ... that is not above `most`. */
function roundBelow(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [5, 2, 1].map((step) => step * power).find((value) => value <= most * (1 + 1e-9));
}

function number(value) {
  return Number(value.toPrecision(3)).toString();
}

export function drawScale(bar, text, view, metres) {
  const unit = metres ?? 1; // per pixel of the plane; without georeference pixels are counted
  const length = roundBelow((BAR / view.scale) * unit);
  bar.style.width = `${(length / unit) * view.scale}px`;
  if (metres === null) text.textContent = `${number(length)} pixels`;
  else if (length >= 1000) text.textContent = `${number(length / 1000)} km`;
  else if (length < 0.01) text.textContent = `${number(length * 1000)} mm`;
  else text.textContent = length < 1 ? `${number(length * 100)} cm` : `${number(length)} m`;
}

/** Degrees with the hemisphere in a letter, to about 10 cm. */
export function geographicText([longitude, latitude]) {
  const part = (value, letters) => `${Math.abs(value).toFixed(6)}° ${letters[value < 0 ? 1 : 0]}`;
  return `${part(latitude, "NS")}, ${part(longitude, "EW")}`;
}

export function groundText([x, y], scene) {
  const pixel = Math.abs(scene.transform[0]) || Math.abs(scene.transform[1]);
  const places = Math.min(Math.max(Math.ceil(-Math.log10(pixel)) + 1, 0), 9);
  return `${scene.crs ?? "map"} ${x.toFixed(places)}, ${y.toFixed(places)}`;
}

export function toGround([x, y], [a, b, c, d, e, f]) {
  return [a * x + b * y + c, d * x + e * y + f];
}

/** Coordinates under the cursor: the map's at once, degrees as soon as the program has answered. */
export class Cursor {
  constructor(element, scene) {
    Object.assign(this, { element, scene });
    this.place = null;
    this.isAsking = false;
  }

  show(place) {
    this.place = place;
    if (place === null) {
      this.element.textContent = "";
      return;
    }
    const [x, y] = place;
    const pixel = `column ${Math.floor(x)}, row ${Math.floor(y)}`;
    if (this.scene.transform === null) {
      this.element.textContent = pixel;
      return;
    }
    this.element.textContent = groundText(toGround(place, this.scene.transform), this.scene);
    this.askDegrees();
  }

  /** One question at a time; a cursor that moved on meanwhile asks again. */
  async askDegrees() {
    if (this.isAsking) return;
    this.isAsking = true;
    const asked = this.place;
    let degrees = null;
    try {
      degrees = await askJson("geographic", { x: asked[0], y: asked[1] });
    } catch {
      degrees = null; // the tiles tell that the program has gone
    } finally {
      this.isAsking = false;
    }
    if (this.place !== asked) {
      if (this.place !== null && degrees !== null) this.askDegrees();
    } else if (degrees !== null) {
      this.element.textContent += ` · ${geographicText(degrees)}`;
    }
  }
}
