// Which part of the plane is on the screen. The plane counts pixels of the first file.

const LARGEST_PIXEL = 64; // CSS pixels that a pixel of the finest layer may take

export class View {
  /** @param extent {width, height} of the plane; @param finest width of the finest pixel on it */
  constructor(extent, finest) {
    this.extent = extent;
    this.largestScale = LARGEST_PIXEL / finest;
    this.width = 1;
    this.height = 1;
    this.ratio = window.devicePixelRatio || 1; // device pixels per CSS pixel
    this.fit();
  }

  /** Show everything. */
  fit() {
    this.x = this.extent.width / 2;
    this.y = this.extent.height / 2;
    this.scale = this.fittingScale; // CSS pixels per pixel of the plane
    this.isFitted = true;
  }

  get fittingScale() {
    return Math.min(this.width / this.extent.width, this.height / this.extent.height) * 0.96;
  }

  resize(width, height, ratio) {
    this.width = Math.max(width, 1);
    this.height = Math.max(height, 1);
    this.ratio = ratio;
    if (this.isFitted) this.fit();
    else this.set(this.x, this.y, this.scale);
  }

  set(x, y, scale) {
    const least = Math.min(this.fittingScale, this.largestScale) / 4;
    this.scale = Math.min(Math.max(scale, least), this.largestScale);
    // The centre stays on the plane: it cannot be lost out of sight.
    this.x = Math.min(Math.max(x, 0), this.extent.width);
    this.y = Math.min(Math.max(y, 0), this.extent.height);
    this.isFitted = false;
  }

  move(dx, dy) {
    this.set(this.x + dx / this.scale, this.y + dy / this.scale, this.scale);
  }

  /** Zoom by a factor; the place under (left, top) stays there. */
  zoom(factor, left = this.width / 2, top = this.height / 2) {
    const [x, y] = this.place(left, top);
    this.set(this.x, this.y, this.scale * factor);
    this.set(
      x - (left - this.width / 2) / this.scale, y - (top - this.height / 2) / this.scale, this.scale
    );
  }

  /** Place on the plane of a point of the screen, in CSS pixels. */
  place(left, top) {
    return [
      this.x + (left - this.width / 2) / this.scale, this.y + (top - this.height / 2) / this.scale,
    ];
  }

  point(x, y) {
    return [
      (x - this.x) * this.scale + this.width / 2, (y - this.y) * this.scale + this.height / 2,
    ];
  }

  /** Coefficients (a, b, c, d, e, f) from pixels of a layer to device pixels, as in its placement. */
  toDevice([a, b, c, d, e, f]) {
    const s = this.scale * this.ratio;
    const [left, top] = this.point(c, f);
    return [a * s, b * s, left * this.ratio, d * s, e * s, top * this.ratio];
  }
}
