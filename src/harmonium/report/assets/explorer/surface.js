// The plane of two columns: its axes, and the density on a grid, finer from pass to pass.

const PASSES = [12, 24, 48, 96];
const SLICE_MS = 14;
// No finer pass follows one that took longer than this.
const LONGEST_PASS_MS = 2500;
const MARGIN = 0.06;

function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const i = Math.min(Math.floor(place), sorted.length - 2);
  return sorted.length < 2 ? sorted[0] : sorted[i] + (place - i) * (sorted[i + 1] - sorted[i]);
}

// Numbers from low to high that people like to read, about n of them.
function niceTicks(low, high, n) {
  const rough = (high - low) / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((own) => own * power >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) ticks.push(i * step);
  return ticks;
}

// One side of the plane. A place `t` on it is a number in data units, or with `isInner` the
// coordinate u, in which every column is standard normal and levels are intervals.
class Axis {
  constructor(column, cells, isInner) {
    this.column = column;
    this.isInner = isInner || column.isLevels;
    const known = cells.filter((cell) => !Number.isNaN(cell));
    const places = Float64Array.from(known, (cell) => this.placeOf(cell)).sort();
    let [low, high] = [quantile(places, 0.002), quantile(places, 0.998)];
    if (this.isInner) [low, high] = [Math.min(low, -2.6), Math.max(high, 2.6)];
    const room = MARGIN * (high - low) || 1;
    [this.low, this.high] = [low - room, high + room];
  }

  placeOf(cell) {
    return this.isInner ? this.column.center(cell) : cell;
  }

  placeAt(u) {
    return this.isInner ? u : this.column.numberAt(u);
  }

  coordinateAt(t) {
    return this.isInner ? t : this.column.at(t);
  }

  cellAt(t) {
    return this.isInner ? this.column.numberAt(t) : t;
  }

  // The place beside that of a cell, by a share of the axis; the next level where there are levels.
  moved(cell, share) {
    const { column } = this;
    if (column.isLevels) {
      const next = column.index(cell) + Math.sign(share);
      return column.center(column.atoms[Math.min(Math.max(next, 0), column.atoms.length - 1)]);
    }
    const t = this.placeOf(cell) + share * (this.high - this.low);
    return Math.min(Math.max(t, this.low), this.high);
  }

  // log du/dt.
  logSlopeAt(t) {
    return this.isInner ? 0 : this.column.logSlope(t);
  }

  ticks(n) {
    const { column } = this;
    if (column.isLevels) {
      return column.atoms.map((atom) => [column.center(atom), column.text(atom)]);
    }
    const cellAt = this.isInner
      ? (t) => column.snap(column.numberAt(t))
      : (t) => Number(t.toPrecision(12));
    // Of a date the day is enough.
    const text = (cell) => (column.isDate ? column.text(cell).slice(0, 10) : column.text(cell));
    return niceTicks(this.low, this.high, n).map((t) => [t, text(cellAt(t))]);
  }
}

class Surface {
  constructor(density, axes, row, isEnergy) {
    this.density = density;
    this.axes = axes;
    this.isEnergy = isEnergy;
    this.values = null;
    this.size = 0;
    const held = density.coordinates(row);
    this.moving = axes.map((axis) => density.columns.indexOf(axis.column));
    for (const j of this.moving) held[j] = 0;
    this.origin = density.units(held);
    // What is the same everywhere on the plane.
    this.constant = density.logDet + density.logRule - density.logPartition.value;
    density.columns.forEach((column, j) => {
      if (!this.moving.includes(j)) this.constant += column.measure(row[j]).value;
    });
  }

  along(axis, j, size) {
    const { matrix, n } = this.density;
    const pull = matrix.subarray(j * n, (j + 1) * n);
    return Array.from({ length: size }, (_, i) => {
      const t = axis.low + ((i + 0.5) / size) * (axis.high - axis.low);
      const u = axis.coordinateAt(t);
      return { shift: Float64Array.from(pull, (own) => u * own), slope: axis.logSlopeAt(t) };
    });
  }

  // One pass; yields after every line of the grid.
  *pass(size) {
    const [across, up] = this.axes.map((axis, d) => this.along(axis, this.moving[d], size));
    const values = new Float32Array(size * size);
    const z = new Float64Array(this.density.n);
    const { model, states } = this.density;
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) {
        const [a, b] = [across[column], up[row]];
        for (let i = 0; i < z.length; i++) z[i] = this.origin[i] + a.shift[i] + b.shift[i];
        const energy = model.energy(z, states).value;
        values[row * size + column] = this.isEnergy ? -energy : this.constant + a.slope + b.slope - energy;
      }
      yield;
    }
    this.values = values;
    this.size = size;
    this.top = values.reduce((top, value) => (value > top ? value : top), -Infinity);
  }

  // All passes in slices of time, so that the page stays alive; `paint` is called after each.
  compute(paint) {
    const work = (function* all(surface) {
      for (const size of PASSES) {
        const start = performance.now();
        yield* surface.pass(size);
        paint();
        if (performance.now() - start > LONGEST_PASS_MS) return;
      }
    })(this);
    const slice = () => {
      if (this.isStale) return;
      const end = performance.now() + SLICE_MS;
      let isDone = false;
      while (!isDone && performance.now() < end) isDone = work.next().done;
      this.isComplete = isDone;
      if (!isDone) setTimeout(slice);
    };
    slice();
  }
}
