// The canvas: left and right layer, the swipe between them, and the place that was clicked.

export class Stage {
  constructor(canvas, handle, view) {
    Object.assign(this, { canvas, handle, view });
    this.context = canvas.getContext("2d");
    this.left = null; // Tiles
    this.right = null;
    this.swipe = 0.5; // of the width
    this.mark = null; // [x, y] on the plane
    this.onDraw = () => {};
    this.isDue = false; // a frame is to be drawn
    this.isWaiting = false; // for limits: the layers cannot be asked for yet
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.watchRatio();
  }

  show(left, right) {
    for (const tiles of [this.left, this.right]) {
      if (tiles !== null && tiles !== left && tiles !== right) tiles.pause();
    }
    this.left = left;
    this.right = right;
    this.handle.hidden = right === null;
    this.redraw();
  }

  setSwipe(share) {
    this.swipe = Math.min(Math.max(share, 0), 1);
    this.redraw();
  }

  resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    this.view.resize(width, height, window.devicePixelRatio || 1);
    this.canvas.width = Math.round(width * this.view.ratio);
    this.canvas.height = Math.round(height * this.view.ratio);
    this.draw();
  }

  /** Zooming the page or moving it to another screen changes its pixels without resizing it. */
  watchRatio() {
    const query = window.matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    query.addEventListener("change", () => { this.resize(); this.watchRatio(); }, { once: true });
  }

  /** Draw with the next frame, however often this is called before. */
  redraw() {
    if (this.isDue) return;
    this.isDue = true;
    this.canvas.dataset.state = "loading";
    requestAnimationFrame(() => { this.isDue = false; this.draw(); });
  }

  draw() {
    const { context, canvas, view } = this;
    const edge = this.right === null ? canvas.width : Math.round(this.swipe * canvas.width);
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.drawSide(this.left, 0, edge);
    this.drawSide(this.right, edge, canvas.width - edge);
    this.drawMark();
    this.handle.style.left = `${this.swipe * view.width}px`;
    const percent = Math.round(this.swipe * 100);
    this.handle.setAttribute("aria-valuenow", percent);
    this.handle.setAttribute("aria-valuetext", `left layer on ${percent} % of the width`);
    for (const tiles of [this.left, this.right]) tiles?.load(view);
    const isIdle = [this.left, this.right].every((tiles) => tiles === null || tiles.isIdle);
    canvas.dataset.state = isIdle && !this.isDue && !this.isWaiting ? "complete" : "loading";
    this.onDraw();
  }

  drawSide(tiles, start, width) {
    if (tiles === null || width <= 0) return;
    this.context.save();
    this.context.beginPath();
    this.context.rect(start, 0, width, this.canvas.height);
    this.context.clip();
    tiles.draw(this.context, this.view);
    this.context.restore();
  }

  drawMark() {
    if (this.mark === null) return;
    const { context, view } = this;
    const [x, y] = view.point(...this.mark).map((value) => value * view.ratio);
    const [near, far] = [4 * view.ratio, 13 * view.ratio];
    for (const [colour, width] of [["#000", 4], ["#fff", 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width * view.ratio;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + near * dx, y + near * dy);
        context.lineTo(x + far * dx, y + far * dy);
      }
      context.stroke();
    }
  }
}
