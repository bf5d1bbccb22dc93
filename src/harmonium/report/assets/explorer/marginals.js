// One column: its cells as points and intervals of a coordinate u that is standard normal on the
// training rows, and u as cells. What `harmonium.data.Marginal` does, for one cell at a time.

const MOST_STEPS = 1e12;

class Body {
  constructor(stored) {
    Object.assign(this, stored);
    this.logWeights = stored.weights.map(Math.log);
  }

  compress(x) {
    const v = (x - this.location) / this.scale;
    return this.tail > 0 ? this.tail * Math.asinh(v / this.tail) : v;
  }

  expand(v) {
    return this.location + this.scale * (this.tail > 0 ? this.tail * Math.sinh(v / this.tail) : v);
  }

  uOf(v) {
    if (!Number.isFinite(v)) return v;
    if (this.means.length === 1) return (v - this.means[0]) / this.sds[0];
    const side = v <= this.middle ? 1 : -1;
    const logs = this.means.map(
      (mean, k) => this.logWeights[k] + logNdtr((side * (v - mean)) / this.sds[k]),
    );
    return side * ndtriExp(Math.min(logSumExp(logs), 0));
  }

  toNormal(x) {
    return this.uOf(this.compress(x));
  }

  // log du/dx.
  logSlope(x) {
    const v = this.compress(x);
    const ratio = this.tail > 0 ? (x - this.location) / this.scale / this.tail : 0;
    const compression = -Math.log(this.scale) - Math.log(Math.hypot(1, ratio));
    if (this.means.length === 1) return compression - Math.log(this.sds[0]);
    const logs = this.means.map(
      (mean, k) =>
        this.logWeights[k] - Math.log(this.sds[k]) + logNormalDensity((v - mean) / this.sds[k]),
    );
    return compression + logSumExp(logs) - logNormalDensity(this.uOf(v));
  }
}

class Marginal {
  constructor(stored) {
    Object.assign(this, stored);
    this.body = stored.body && new Body(stored.body);
    let below = 0;
    this.below = [-Infinity, ...this.masses.map((mass) => Math.log((below += mass)))];
    let above = 0;
    const tails = [...this.masses].reverse().map((mass) => Math.log((above += mass)));
    this.above = [...tails.reverse(), -Infinity];
    this.below = this.below.map((log) => Math.min(log, 0));
    this.above = this.above.map((log) => Math.min(log, 0));
    this.logRest = Math.log(1 - below);
    this.isLevels = this.body === null;
    if (this.isLevels) this.cuts = this.below.map((log, i) => fromLogTails(log, this.above[i]));
  }

  index(x) {
    const slack = 1e-3 * this.step;
    return this.atoms.findIndex((atom) => Math.abs(atom - x) <= slack);
  }

  isLattice(x) {
    return this.step > 0 && Math.abs(x) <= MOST_STEPS * this.step;
  }

  edges(x) {
    const half = this.isLattice(x) ? this.step / 2 : 0;
    const atBound = half > 0 && this.sign !== 0 && Math.abs(x - this.bound) < half;
    return [
      atBound && this.sign > 0 ? -Infinity : x - half,
      atBound && this.sign < 0 ? Infinity : x + half,
    ];
  }

  // u at a number, below ("left") or above ("right") of an atom that stands there.
  at(x, side = "left") {
    const u = this.body.toNormal(x);
    if (!this.atoms.length) return u;
    const passed = this.atoms.filter((atom) => (side === "left" ? atom < x : atom <= x)).length;
    return fromLogTails(
      logSumExp([this.logRest + logNdtr(u), this.below[passed]]),
      logSumExp([this.logRest + logNdtr(-u), this.above[passed]]),
    );
  }

  // The two ends of a cell in u, equal at points.
  interval(x, asPoints = this.fine) {
    const index = this.index(x);
    if (this.isLevels) return index < 0 ? [-Infinity, Infinity] : [this.cuts[index], this.cuts[index + 1]];
    if ((this.step > 0 && !asPoints) || index >= 0) {
      const [low, high] = this.edges(x);
      return [this.at(low, "left"), this.at(high, "right")];
    }
    const u = this.at(x, "left");
    return [u, u];
  }

  // One point of u in a cell: the center of a lattice cell in data units, the median of an atom.
  center(x) {
    return Number.isNaN(x) ? NaN : middleOf(...this.interval(x, true));
  }

  // log du/dx where no atom stands.
  logSlope(x) {
    const slope = this.body.logSlope(x);
    if (!this.atoms.length) return slope;
    const body = this.body.toNormal(x);
    const u = this.at(x, "left");
    return slope + this.logRest + ((u - body) * (u + body)) / 2;
  }

  // What turns the density at the center into the log-density of the cell: exact for points; for
  // intervals the density is taken to have the shape of N(0, 1) in them.
  measure(x) {
    const [low, high] = this.interval(x);
    if (low === high) return { value: this.logSlope(x), exact: true };
    const isCell = this.isLattice(x) && (this.index(x) >= 0 || !this.fine);
    const mass = logIntervalMass(low, high) - logNormalDensity(this.center(x));
    return { value: mass - (isCell ? Math.log(this.step) : 0), exact: false };
  }

  // The number at u, without rounding to the lattice; the level where there are levels.
  numberAt(u) {
    if (this.isLevels) return this.atoms[this.levelAt(u)];
    if (!this.atoms.length && this.body.means.length === 1) {
      return this.body.expand(this.body.means[0] + this.body.sds[0] * u);
    }
    // Between the knots of a table, of which the ends stand for all beyond.
    const { farthest, numbers } = this.inverse;
    const last = numbers.length - 1;
    const place = Math.min(Math.max(((u + farthest) / (2 * farthest)) * last, 0), last);
    const i = Math.min(Math.floor(place), last - 1);
    return numbers[i] + (place - i) * (numbers[i + 1] - numbers[i]);
  }

  levelAt(u) {
    const passed = this.cuts.findIndex((cut, i) => i > 0 && u < cut);
    return passed < 0 ? this.atoms.length - 1 : passed - 1;
  }

  // The cell that a number stands for.
  snap(x) {
    if (this.isLevels) return x;
    let cell = x;
    if (this.step > 0) {
      cell = this.offset + this.step * Math.round((x - this.offset) / this.step);
      if (this.sign !== 0 && this.sign * (cell - this.bound) < 0) cell = this.bound;
    }
    return this.decimals < 0 ? cell : Number(cell.toFixed(this.decimals));
  }

  // A cell as people read it.
  text(x) {
    if (Number.isNaN(x)) return "missing";
    if (this.isLevels && this.labels.length) return this.labels[this.index(x)] ?? "unseen";
    if (this.isDate) return dateText(x);
    return numberText(x);
  }
}

function dateText(seconds) {
  const date = new Date(1000 * seconds);
  if (Number.isNaN(date.valueOf())) return numberText(seconds);
  const text = date.toISOString();
  return text.endsWith("T00:00:00.000Z") ? text.slice(0, 10) : text.slice(0, 19).replace("T", " ");
}

function numberText(x, digits = 4) {
  if (!Number.isFinite(x)) return x > 0 ? "∞" : x < 0 ? "−∞" : "–";
  const size = Math.abs(x);
  const text = size !== 0 && (size < 1e-3 || size >= 1e6) ? x.toExponential(2) : String(Number(x.toPrecision(digits)));
  return text.replace("-", "−");
}
