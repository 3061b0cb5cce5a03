// Bring the parts together: what is shown, and what changes it.

import { attachGestures, attachKeys } from "./gestures.js";
import { attachStretch, drawLimits, drawSide } from "./panel.js";
import { Cursor, drawScale } from "./readout.js";
import { askJson } from "./service.js";
import { drawSpectrum } from "./spectrum.js";
import { Stage } from "./stage.js";
import { Tiles } from "./tiles.js";
import { View } from "./view.js";

const PAIRED = 98; // percentile at which a difference is brightest where limits are fixed

const find = (id) => document.getElementById(id);

function complain(error) {
  find("notice").textContent = error.message;
  find("notice").hidden = false;
}

class Viewer {
  constructor(scene) {
    this.scene = scene;
    this.layers = new Map(scene.layers.map((layer) => [layer.key, layer]));
    this.shown = scene.start; // {left, right}: keys of layers, right null for a single one
    this.bands = new Map(scene.layers.map((layer) => [layer.key, [...layer.shown]]));
    this.stretch = { mode: "2,98", source: "own", fixed: [0, 2047] };
    const finest = Math.min(...scene.layers.map(({ placement: [a, , , d] }) => Math.hypot(a, d)));
    this.view = new View(scene, finest);
    this.stage = new Stage(find("picture"), find("handle"), this.view);
    this.stage.onDraw = () => this.describe();
    const redraw = () => this.stage.redraw();
    this.tiles = new Map(scene.layers.map((layer) => [
      layer.key, new Tiles(layer, scene.tile, redraw, complain),
    ]));
    this.cursor = new Cursor(find("cursor"), scene);
    this.round = 0; // counts changes of the looks: late answers to old ones are dropped
    this.question = null; // the spectrum that is being asked for
  }

  get sides() {
    return ["left", "right"].filter((side) => this.shown[side] !== null);
  }

  start() {
    attachGestures(this.stage, (place) => this.ask(place), (point) => {
      this.cursor.show(point === null ? null : this.view.place(...point));
    });
    const zoomOne = () => this.view.set(this.view.x, this.view.y, 1 / this.view.ratio);
    attachKeys(this.stage, {
      onEnter: (place) => this.ask(place), onSwap: () => this.swap(), zoomOne,
    });
    const buttons = {
      "zoom-in": () => this.view.zoom(2), "zoom-out": () => this.view.zoom(0.5),
      "zoom-fit": () => this.view.fit(), "zoom-one": zoomOne,
    };
    for (const [id, action] of Object.entries(buttons)) {
      find(id).addEventListener("click", () => { action(); this.stage.redraw(); });
    }
    find("swap").addEventListener("click", () => this.swap());
    attachStretch(this.scene, (stretch) => { this.stretch = stretch; this.update(); });
    find("notes").replaceChildren(...this.scene.notes.map((note) => {
      const item = document.createElement("li");
      item.textContent = note;
      return item;
    }));
    // Everything at once would read the whole of a file without overviews.
    if (this.sides.some((side) => this.layers.get(this.shown[side]).isSlow)) zoomOne();
    this.update();
  }

  /** Bring what is written over the picture up to date. */
  describe() {
    drawScale(find("scale-bar"), find("scale-text"), this.view, this.scene.metres);
    for (const side of this.sides) {
      const layer = this.layers.get(this.shown[side]);
      const steps = this.tiles.get(layer.key).level(this.view) - (layer.difference?.finer ?? Infinity);
      // What was averaged before the difference was taken has lost its errors within the means.
      const means = steps > 0 ? ` of ${2 ** steps} × ${2 ** steps} means` : "";
      find(`${side}-name`).textContent = layer.name + means;
    }
  }

  swap() {
    if (this.shown.right === null) return;
    this.shown = { left: this.shown.right, right: this.shown.left };
    this.update();
  }

  /** Draw the controls and bring both sides to what they say. */
  update() {
    const changes = {
      onLayer: (side, key) => { this.shown = { ...this.shown, [side]: key }; this.update(); },
      onBands: (layer, bands) => { this.bands.set(layer.key, bands); this.update(); },
    };
    find("swap").hidden = find("right").hidden = this.shown.right === null;
    for (const side of this.sides) {
      const title = this.shown.right === null ? "Layer" : { left: "Left", right: "Right" }[side];
      drawSide(find(side), title, side, this, changes);
    }
    const [left, right] = ["left", "right"].map((side) => this.tiles.get(this.shown[side]) ?? null);
    this.stage.show(left, right);
    this.showSpectrum();
    this.applyStretch().catch(complain);
  }

  async applyStretch() {
    this.round += 1;
    const round = this.round;
    this.stage.isWaiting = true;
    const keys = [...new Set(this.sides.map((side) => this.shown[side]))];
    const shown = await Promise.all(keys.map((key) => this.looked(this.layers.get(key))));
    if (round !== this.round) return;
    this.stage.isWaiting = false;
    for (const { layer, bands, limits } of shown) {
      const pairs = limits.map(([low, high]) => `${low}:${high}`).join(",");
      const palette = layer.difference === null ? "grey" : "heat";
      this.tiles.get(layer.key).setLook(`bands=${bands.join(",")}&limits=${pairs}&palette=${palette}`);
    }
    drawLimits(find("limits"), shown);
    this.stage.redraw();
  }

  /** How a layer is shown: its bands, the limits of each in DN, and where they come from. */
  async looked(layer) {
    const bands = this.bands.get(layer.key);
    const { mode, source, fixed } = this.stretch;
    if (layer.difference !== null) {
      const high = mode === "fixed" ? PAIRED : mode.split(",")[1];
      const { limits, origin } = await this.limits(layer, bands, 0, high);
      return { layer, bands, limits: limits.map(([, top]) => [0, top]), origin: `from ${origin}` };
    }
    if (mode === "fixed") return { layer, bands, limits: bands.map(() => fixed), origin: "" };
    const from = source === "own" ? layer : this.layers.get(source);
    const { limits, origin } = await this.limits(from, this.bands.get(from.key), ...mode.split(","));
    const name = from === layer ? "" : ` of ${from.name}`;
    return { layer, bands, limits: fitted(limits, bands.length), origin: `from ${origin}${name}` };
  }

  limits(layer, bands, low, high) {
    return askJson(`limits/${layer.key}`, { bands: bands.join(","), low, high });
  }

  async ask(place) {
    this.question?.abort();
    const question = new AbortController();
    this.question = question;
    this.stage.mark = place;
    this.stage.redraw();
    const panel = find("spectrum");
    panel.ariaBusy = "true";
    try {
      this.answer = await askJson("place", { x: place[0], y: place[1] }, question.signal);
      this.showSpectrum();
      panel.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (error.name !== "AbortError") complain(error);
    }
    if (this.question === question) panel.ariaBusy = "false";
  }

  showSpectrum() {
    if (this.answer === undefined) return;
    drawSpectrum(find("spectrum"), this.answer, this.scene, Object.values(this.shown));
  }
}

/** Bring the limits of another layer to a number of bands: one pair serves three, three span one. */
function fitted(limits, count) {
  if (limits.length === count) return limits;
  if (limits.length === 1) return Array(count).fill(limits[0]);
  return [[Math.min(...limits.map(([low]) => low)), Math.max(...limits.map(([, high]) => high))]];
}

try {
  new Viewer(await askJson("scene")).start();
} catch (error) {
  complain(error);
}
