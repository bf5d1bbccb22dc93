// Pictures: the surface with its axes below, and on top of it rows, chains and the place that is
// read. Colors are those of the page, light or dark.

const RAMP = [
  [68, 1, 84], [72, 40, 120], [62, 73, 137], [49, 104, 142], [38, 130, 142],
  [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37],
];
const TRAIL = 36;
const FRAME = { left: 70, right: 10, top: 10, bottom: 46 };

const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches && !matchMedia("print").matches;
const pageColor = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// The color of a share from 0 (nothing) to 1 (most): from the color of the card, which is light or
// dark, to the other end of the ramp.
function rampColor(share, dark = isDark()) {
  const place = (dark ? share : 1 - share) * (RAMP.length - 1);
  const i = Math.min(Math.floor(place), RAMP.length - 2);
  const card = dark ? [23, 28, 34] : [255, 255, 255];
  const seen = Math.min(1, share / 0.3);
  return RAMP[i].map((low, c) => {
    const own = low + (place - i) * (RAMP[i + 1][c] - low);
    return Math.round(card[c] + seen * (own - card[c]));
  });
}

class Drawing {
  constructor(plot) {
    this.below = plot.querySelector(".surface");
    this.above = plot.querySelector(".overlay");
    this.grid = document.createElement("canvas");
  }

  resize() {
    const width = this.below.parentElement.clientWidth;
    const height = Math.round(Math.min(0.86 * width, 560));
    const ratio = window.devicePixelRatio || 1;
    for (const canvas of [this.below, this.above]) {
      canvas.width = width * ratio;
      canvas.height = height * ratio;
      canvas.style.height = `${height}px`;
    }
    this.below.parentElement.style.height = `${height}px`;
    this.width = width - FRAME.left - FRAME.right;
    this.height = height - FRAME.top - FRAME.bottom;
  }

  context(canvas) {
    const context = canvas.getContext("2d");
    const ratio = window.devicePixelRatio || 1;
    // On paper, what is cleared would be cut out of the canvas below, too.
    const isPrinted = matchMedia("print").matches;
    if (isPrinted) canvas.width = canvas.width;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (!isPrinted) context.clearRect(0, 0, canvas.width, canvas.height);
    context.font = "12px system-ui, sans-serif";
    return context;
  }

  toPixels([x, y], axes) {
    const share = (t, axis) => (t - axis.low) / (axis.high - axis.low);
    return [FRAME.left + share(x, axes[0]) * this.width, FRAME.top + (1 - share(y, axes[1])) * this.height];
  }

  toPlaces(px, py, axes) {
    const shares = [(px - FRAME.left) / this.width, 1 - (py - FRAME.top) / this.height];
    return axes.map((axis, d) => axis.low + Math.min(Math.max(shares[d], 0), 1) * (axis.high - axis.low));
  }

  drawSurface(surface, depth) {
    const { size, values, top } = surface;
    const context = this.context(this.below);
    const dark = isDark();
    const colors = Array.from({ length: 256 }, (_, i) => rampColor(i / 255, dark));
    const image = new ImageData(size, size);
    values.forEach((value, at) => {
      const share = Math.min(Math.max(1 + (value - top) / depth, 0), 1);
      const row = size - 1 - Math.floor(at / size);
      image.data.set([...colors[Math.round(255 * share)], 255], 4 * (row * size + (at % size)));
    });
    this.grid.width = this.grid.height = size;
    this.grid.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.grid, FRAME.left, FRAME.top, this.width, this.height);
    this.drawAxes(context, surface.axes);
  }

  drawAxes(context, axes) {
    context.strokeStyle = pageColor("line");
    context.strokeRect(FRAME.left, FRAME.top, this.width, this.height);
    context.fillStyle = pageColor("soft");
    context.textAlign = "center";
    context.textBaseline = "top";
    const bottom = FRAME.top + this.height;
    let free = -Infinity;
    for (const [t, text] of axes[0].ticks(Math.max(3, this.width / 90))) {
      const [x] = this.toPixels([t, 0], axes);
      const half = context.measureText(text).width / 2;
      if (x - half < free + 6 || x + half > FRAME.left + this.width + 8) continue;
      context.fillText(text, x, bottom + 6);
      free = x + half;
    }
    context.fillText(clipped(axes[0].column.name, 46), FRAME.left + this.width / 2, bottom + 26);
    context.textAlign = "right";
    context.textBaseline = "middle";
    free = Infinity;
    for (const [t, text] of axes[1].ticks(Math.max(3, this.height / 60))) {
      const [, y] = this.toPixels([0, t], axes);
      if (y + 8 > free || y < FRAME.top) continue;
      context.fillText(clipped(text, 10), FRAME.left - 5, y);
      free = y - 8;
    }
    context.save();
    context.translate(2, FRAME.top + this.height / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.textBaseline = "top";
    context.fillText(clipped(axes[1].column.name, 46), 0, 0);
    context.restore();
  }

  // `rows` and `chains` as places with how strong they are; trails from old to new.
  drawOverlay({ axes, rows, trails, probe, showsTrails }) {
    const context = this.context(this.above);
    context.save();
    context.beginPath();
    context.rect(FRAME.left, FRAME.top, this.width, this.height);
    context.clip();
    const [ink, halo] = isDark() ? ["#e8edf2", "#171c22"] : ["#1b1f24", "#ffffff"];
    for (const { place, strength } of rows) {
      const [x, y] = this.toPixels(place, axes);
      context.globalAlpha = 0.1 + 0.8 * strength;
      this.dot(context, x, y, 2.2, halo, ink, 0.8);
    }
    const chain = pageColor("chain");
    for (const trail of trails) {
      const points = trail.map((place) => this.toPixels(place, axes));
      context.strokeStyle = chain;
      context.lineWidth = 1.6;
      if (showsTrails) {
        for (let i = 1; i < points.length; i++) {
          context.globalAlpha = (0.75 * i) / points.length;
          context.beginPath();
          context.moveTo(...points[i - 1]);
          context.lineTo(...points[i]);
          context.stroke();
        }
      }
      context.globalAlpha = 1;
      if (points.length) this.dot(context, ...points.at(-1), 4.2, chain, halo, 1.4);
    }
    context.restore();
    this.drawProbe(context, this.toPixels(probe, axes), ink, halo);
  }

  dot(context, x, y, radius, ink, halo, width) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = ink;
    context.fill();
    context.strokeStyle = halo;
    context.lineWidth = width;
    context.stroke();
  }

  drawProbe(context, [x, y], ink, halo) {
    for (const [color, width] of [[halo, 5], [ink, 2]]) {
      context.strokeStyle = color;
      context.lineWidth = width;
      context.beginPath();
      context.arc(x, y, 8, 0, 2 * Math.PI);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 5 * dx, y + 5 * dy);
        context.lineTo(x + 13 * dx, y + 13 * dy);
      }
      context.stroke();
    }
  }
}

const clipped = (text, longest) => (text.length <= longest ? text : `${text.slice(0, longest - 1)}…`);

// Gray images of rows, large values dark, on one canvas.
function drawTiles(canvas, rows, { side, low, high }) {
  const across = Math.ceil(Math.sqrt(rows.length));
  const step = side + 1;
  canvas.width = across * step - 1;
  canvas.height = Math.ceil(rows.length / across) * step - 1;
  const context = canvas.getContext("2d");
  rows.forEach((row, at) => {
    const image = new ImageData(side, side);
    row.forEach((value, i) => {
      const gray = 255 * (1 - Math.min(Math.max((value - low) / (high - low), 0), 1));
      image.data.set([gray, gray, gray, 255], 4 * i);
    });
    context.putImageData(image, (at % across) * step, Math.floor(at / across) * step);
  });
}
