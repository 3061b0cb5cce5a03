// The tiles of one layer: which are in view, loading them nearest first, drawing what is there.

import { askPicture } from "./service.js";

const AT_ONCE = 6; // as many as a browser asks one server for at a time
const KEPT = 400; // decoded tiles of a layer: 100 MB at most

export class Tiles {
  constructor(layer, tileSize, onChange, onFailure) {
    Object.assign(this, { layer, tileSize, onChange, onFailure });
    this.kept = new Map(); // address -> bitmap, least recently drawn first
    this.loading = new Map(); // address -> AbortController
    this.missing = new Set(); // addresses that failed: not asked for again
    this.wanted = [];
    this.look = "";
    this.lookBefore = "";
  }

  /** Show the layer in another way; until its tiles are there, those of the last way stay. */
  setLook(look) {
    if (look === this.look) return;
    this.lookBefore = this.look;
    this.look = look;
  }

  get isIdle() {
    return this.look !== "" && this.wanted.every((one) => this.isSettled(this.address(one)));
  }

  isSettled(address) {
    return this.kept.has(address) || this.missing.has(address);
  }

  address({ level, row, col }, look = this.look) {
    return `tile/${this.layer.key}/${level}/${row}/${col}?${look}`;
  }

  levelShape(level) {
    return [Math.ceil(this.layer.width / 2 ** level), Math.ceil(this.layer.height / 2 ** level)];
  }

  /** The level whose pixels come nearest to those of the screen. */
  level(view) {
    const [a, , , d] = view.toDevice(this.layer.placement);
    const level = Math.round(-Math.log2(Math.hypot(a, d)));
    return Math.min(Math.max(level, 0), this.layer.levels - 1);
  }

  /** Rectangle of a tile in pixels of the layer: x, y, width, height. */
  rectangle({ level, row, col }) {
    const [width, height] = this.levelShape(level);
    const step = [this.layer.width / width, this.layer.height / height];
    const size = this.tileSize;
    return [
      col * size * step[0], row * size * step[1],
      Math.min(size, width - col * size) * step[0], Math.min(size, height - row * size) * step[1],
    ];
  }

  /** Tiles of a level in view, the nearest to its centre first. */
  inView(view, level) {
    const bounds = this.boundsInLayer(view);
    const [width, height] = this.levelShape(level);
    const size = [
      (this.tileSize * this.layer.width) / width, (this.tileSize * this.layer.height) / height,
    ];
    const last = [Math.ceil(width / this.tileSize) - 1, Math.ceil(height / this.tileSize) - 1];
    const first = [0, 1].map((k) => Math.max(Math.floor(bounds[k] / size[k]), 0));
    const stop = [0, 1].map((k) => Math.min(Math.floor(bounds[k + 2] / size[k]), last[k]));
    const centre = [0, 1].map((k) => (bounds[k] + bounds[k + 2]) / 2 / size[k] - 0.5);
    const found = [];
    for (let row = first[1]; row <= stop[1]; row += 1) {
      for (let col = first[0]; col <= stop[0]; col += 1) {
        found.push({ level, row, col, far: Math.hypot(col - centre[0], row - centre[1]) });
      }
    }
    return found.sort((one, other) => one.far - other.far);
  }

  /** Least and greatest column and row of the layer that are on the screen. */
  boundsInLayer(view) {
    const [a, b, c, d, e, f] = view.toDevice(this.layer.placement);
    const determinant = a * e - b * d;
    const [width, height] = [view.width * view.ratio, view.height * view.ratio];
    const corners = [[0, 0], [width, 0], [0, height], [width, height]].map(([x, y]) => [
      (e * (x - c) - b * (y - f)) / determinant, (a * (y - f) - d * (x - c)) / determinant,
    ]);
    const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
    return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  }

  /** Ask for what is in view and missing, and drop requests for what went out of view. */
  load(view) {
    if (this.look === "") return;
    // The single tile of the last level stands in for all others, where it is soon read.
    const standIn = { level: this.layer.levels - 1, row: 0, col: 0 };
    this.wanted = [
      ...(this.layer.isSlow ? [] : [standIn]), ...this.inView(view, this.level(view)),
    ];
    const wanted = new Set(this.wanted.map((one) => this.address(one)));
    for (const [address, controller] of this.loading) {
      if (!wanted.has(address)) controller.abort();
    }
    for (const address of wanted) {
      if (this.loading.size >= AT_ONCE) break;
      if (!this.isSettled(address) && !this.loading.has(address)) this.fetch(address);
    }
  }

  async fetch(address) {
    const controller = new AbortController();
    this.loading.set(address, controller);
    try {
      this.kept.set(address, await askPicture(address, controller.signal));
      this.dropOld();
    } catch (error) {
      if (error.name !== "AbortError") {
        this.missing.add(address);
        this.onFailure(error);
      }
    } finally {
      this.loading.delete(address);
      this.onChange();
    }
  }

  dropOld() {
    for (const [address, bitmap] of this.kept) {
      if (this.kept.size <= KEPT) break;
      bitmap.close();
      this.kept.delete(address);
    }
  }

  /** Forget requests of a layer that is not shown any more. */
  pause() {
    for (const controller of this.loading.values()) controller.abort();
  }

  draw(context, view) {
    const level = this.level(view);
    const matrix = view.toDevice(this.layer.placement);
    context.imageSmoothingEnabled = Math.hypot(matrix[0], matrix[3]) * 2 ** level < 1;
    for (const tile of this.inView(view, level)) {
      const [bitmap, whole] = this.bestBitmap(tile);
      if (bitmap !== null) drawPart(context, matrix, bitmap, whole, this.rectangle(tile));
    }
  }

  /** The tile itself, or the part of a coarser one, or of the look before. */
  bestBitmap(tile) {
    for (const look of [this.look, this.lookBefore]) {
      for (let { level, row, col } = tile; look !== "" && level < this.layer.levels; level += 1) {
        const address = this.address({ level, row, col }, look);
        const bitmap = this.kept.get(address);
        if (bitmap !== undefined) {
          this.kept.delete(address); // put at the end: it was drawn last
          this.kept.set(address, bitmap);
          return [bitmap, this.rectangle({ level, row, col })];
        }
        [row, col] = [row >> 1, col >> 1];
      }
    }
    return [null, null];
  }
}

/** Draw the part of a bitmap, which covers `whole` of the layer, that covers `part` of it. */
function drawPart(context, [a, b, c, d, e, f], bitmap, whole, part) {
  const [across, down] = [bitmap.width / whole[2], bitmap.height / whole[3]];
  const source = [
    Math.max((part[0] - whole[0]) * across, 0), Math.max((part[1] - whole[1]) * down, 0),
  ];
  const size = [
    Math.min(part[2] * across, bitmap.width - source[0]),
    Math.min(part[3] * down, bitmap.height - source[1]),
  ];
  if (size[0] <= 0 || size[1] <= 0) return;
  if (b === 0 && d === 0 && a > 0 && e > 0) {
    // Edges on whole device pixels: neighbouring tiles meet without a seam.
    const [left, right] = [part[0], part[0] + part[2]].map((x) => Math.round(a * x + c));
    const [top, bottom] = [part[1], part[1] + part[3]].map((y) => Math.round(e * y + f));
    context.drawImage(bitmap, ...source, ...size, left, top, right - left, bottom - top);
    return;
  }
  context.save();
  context.transform(a, d, b, e, c, f);
  context.drawImage(bitmap, ...source, ...size, ...part);
  context.restore();
}
