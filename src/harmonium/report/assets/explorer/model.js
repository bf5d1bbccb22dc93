// The model of one row z in model units: base, feature map, hidden units; energies in nats.

const FREE = -1;
const sigmoid = (a) => (a >= 0 ? 1 / (1 + Math.exp(-a)) : Math.exp(a) / (1 + Math.exp(a)));
const softplus = (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));

// Each with its derivative, both of the argument.
const GELU = Math.sqrt(2 / Math.PI);
const geluInner = (a) => Math.tanh(GELU * (a + 0.044715 * a ** 3));
const ACTIVATIONS = {
  silu: [(a) => a * sigmoid(a), (a) => sigmoid(a) * (1 + a * (1 - sigmoid(a)))],
  tanh: [Math.tanh, (a) => 1 - Math.tanh(a) ** 2],
  softplus: [softplus, sigmoid],
  relu: [(a) => Math.max(a, 0), (a) => (a > 0 ? 1 : 0)],
  gelu: [
    (a) => 0.5 * a * (1 + geluInner(a)),
    (a) => {
      const t = geluInner(a);
      return 0.5 * (1 + t) + 0.5 * a * (1 - t * t) * GELU * (1 + 3 * 0.044715 * a * a);
    },
  ],
};

// weight (outputs, inputs) times x, plus a bias.
function linear(weight, bias, x) {
  const n = x.length;
  const found = Float64Array.from(bias);
  for (let i = 0; i < found.length; i++) {
    let sum = 0;
    for (let j = 0, at = i * n; j < n; j++, at++) sum += weight[at] * x[j];
    found[i] += sum;
  }
  return found;
}

// The transpose of weight times y.
function pulledBack(weight, y, n) {
  const found = new Float64Array(n);
  for (let i = 0; i < y.length; i++) {
    if (y[i] === 0) continue;
    for (let j = 0, at = i * n; j < n; j++, at++) found[j] += weight[at] * y[i];
  }
  return found;
}

// Steps that a feature map is made of: `run` gives the output and what `back` needs to turn the
// gradient by the output into that by the input.
const STEPS = {
  scale: (step) => ({
    run: (x) => [x.map((value) => step.by * value), null],
    back: (gradient) => gradient.map((value) => step.by * value),
  }),
  linear: (step) => ({
    run: (x) => [linear(step.weight, step.bias, x), x.length],
    back: (gradient, n) => pulledBack(step.weight, gradient, n),
  }),
  activation: (step) => {
    const [value, slope] = ACTIVATIONS[step.name];
    return {
      run: (x) => [x.map(value), x],
      back: (gradient, x) => gradient.map((own, i) => own * slope(x[i])),
    };
  },
  residual: (step) => {
    const [value, slope] = ACTIVATIONS[step.name];
    return {
      run: (x) => {
        const inner = linear(step.weight, step.bias, x);
        return [x.map((own, i) => own + value(inner[i])), inner];
      },
      back: (gradient, inner) => {
        const pulled = gradient.map((own, i) => own * slope(inner[i]));
        const found = pulledBack(step.weight, pulled, gradient.length);
        return found.map((own, i) => own + gradient[i]);
      },
    };
  },
  waves: (step) => ({
    run: (x) => {
      const phase = linear(step.weight, new Float64Array(step.weight.length / x.length), x);
      const waves = new Float64Array(2 * phase.length);
      phase.forEach((own, i) => {
        waves[i] = Math.sin(own);
        waves[phase.length + i] = Math.cos(own);
      });
      return [waves, [waves, x.length]];
    },
    back: (gradient, [waves, n]) => {
      const half = waves.length / 2;
      const pulled = new Float64Array(half);
      for (let i = 0; i < half; i++) pulled[i] = gradient[i] * waves[half + i] - gradient[half + i] * waves[i];
      return pulledBack(step.weight, pulled, n);
    },
  }),
};

class FeatureMap {
  constructor(steps) {
    this.steps = steps.map((step) => STEPS[step.step](step));
  }

  run(x) {
    const kept = [];
    let value = x;
    for (const step of this.steps) {
      const [next, own] = step.run(value);
      kept.push(own);
      value = next;
    }
    return [value, kept];
  }

  back(gradient, kept) {
    for (let i = this.steps.length - 1; i >= 0; i--) gradient = this.steps[i].back(gradient, kept[i]);
    return gradient;
  }
}

// U(z) = z·z.
class GaussianBase {
  constructor() {
    this.nComponents = 1;
  }

  energy(z, withGradient) {
    let sum = 0;
    for (const value of z) sum += value * value;
    return { value: sum, gradient: withGradient ? z.map((value) => 2 * value) : null, shares: [1] };
  }
}

// U(z) = -log of a mixture; `isIn` says which components take part.
class MixtureBase {
  constructor(stored, n) {
    this.n = n;
    this.means = stored.means;
    // Lower triangles of the inverse Cholesky factors, row by row.
    this.inverses = stored.inverses;
    this.nComponents = stored.logWeights.length;
    this.isIn = new Array(this.nComponents).fill(true);
    this.logWeights = stored.logWeights;
    this.constants = Float64Array.from(stored.logWeights, (logWeight, k) => {
      let logDet = 0;
      for (let i = 0; i < n; i++) logDet += Math.log(this.inverses[this.start(k) + (i * (i + 3)) / 2]);
      return logWeight + logDet - n * LOG_ROOT_2PI;
    });
  }

  start(k) {
    return (k * this.n * (this.n + 1)) / 2;
  }

  energy(z, withGradient) {
    const { n, inverses, means } = this;
    const logs = new Float64Array(this.nComponents).fill(-Infinity);
    const standards = [];
    for (let k = 0; k < this.nComponents; k++) {
      if (!this.isIn[k]) continue;
      const standard = new Float64Array(n);
      let square = 0;
      for (let i = 0, at = this.start(k); i < n; i++) {
        let sum = 0;
        for (let j = 0; j <= i; j++, at++) sum += inverses[at] * (z[j] - means[k * n + j]);
        standard[i] = sum;
        square += sum * sum;
      }
      standards[k] = standard;
      logs[k] = this.constants[k] - 0.5 * square;
    }
    const total = logSumExp(logs);
    const shares = Array.from(logs, (log) => Math.exp(log - total));
    if (!withGradient) return { value: -total, gradient: null, shares };
    const gradient = new Float64Array(n);
    shares.forEach((share, k) => {
      if (share < 1e-300) return;
      for (let i = 0, at = this.start(k); i < n; i++) {
        const own = share * standards[k][i];
        for (let j = 0; j <= i; j++, at++) gradient[j] += inverses[at] * own;
      }
    });
    return { value: -total, gradient, shares };
  }
}

class Model {
  constructor(stored) {
    this.n = stored.visibleBias.length;
    this.visibleBias = stored.visibleBias;
    this.hiddenBias = stored.hiddenBias;
    this.weights = stored.weights;
    this.hasResidual = stored.hasResidual;
    this.nHidden = this.hiddenBias.length;
    this.isSpin = stored.units === "Spin";
    this.base = stored.base === null ? new GaussianBase() : new MixtureBase(stored.base, this.n);
    this.map = new FeatureMap(stored.steps);
    // FREE, or the value that a unit is held at.
    this.allFree = new Array(this.nHidden).fill(FREE);
  }

  // Values of a unit that is off and on.
  get values() {
    return this.isSpin ? [-1, 1] : [0, 1];
  }

  logits(z) {
    const [features, kept] = this.map.run(z);
    const logits = linear(this.weights, new Float64Array(this.nHidden), features);
    for (let k = 0; k < this.nHidden; k++) logits[k] = this.hiddenBias[k] - logits[k];
    return [logits, kept, features.length];
  }

  // P(unit is on | z) of every unit.
  probabilities(z) {
    if (!this.hasResidual) return Array.from(this.hiddenBias, (a) => sigmoid(this.isSpin ? 2 * a : a));
    return Array.from(this.logits(z)[0], (a) => sigmoid(this.isSpin ? 2 * a : a));
  }

  // -log of the sum of exp(-E(z, h)) over the free units; `states` holds FREE, 0 (off) or 1 (on).
  // With all free it is F(z), with none E(z, h). The gradient is by z.
  energy(z, states, withGradient = false) {
    const base = this.base.energy(z, withGradient);
    let value = base.value;
    for (let i = 0; i < this.n; i++) value -= this.visibleBias[i] * z[i];
    let logits = this.hiddenBias;
    let kept;
    let nFeatures;
    if (this.hasResidual) [logits, kept, nFeatures] = this.logits(z);
    const means = new Float64Array(this.nHidden);
    for (let k = 0; k < this.nHidden; k++) {
      const a = logits[k];
      if (states[k] === FREE) {
        value -= this.isSpin ? softplus(2 * a) - a : softplus(a);
        means[k] = this.isSpin ? Math.tanh(a) : sigmoid(a);
      } else {
        means[k] = this.values[states[k]];
        value -= means[k] * a;
      }
    }
    if (!withGradient) return { value, gradient: null };
    const gradient = base.gradient;
    for (let i = 0; i < this.n; i++) gradient[i] -= this.visibleBias[i];
    if (this.hasResidual) {
      const pulled = this.map.back(pulledBack(this.weights, means, nFeatures), kept);
      for (let i = 0; i < this.n; i++) gradient[i] += pulled[i];
    }
    return { value, gradient };
  }
}
