// Markov chains on what the page shows: MALA, and Gibbs with Langevin moves for the visible block.

// A small counter-based generator (32 bits, Weyl sequence and two multiply-shift rounds): pictures
// and tests need no more, and the same seed gives the same path.
class Random {
  constructor(seed) {
    this.state = seed >>> 0;
    this.spare = null;
  }

  uniform() {
    this.state = (this.state + 0x9e3779b9) >>> 0;
    let bits = this.state;
    bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad);
    bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
    return (((bits ^ (bits >>> 15)) >>> 0) + 0.5) / 4294967296;
  }

  // Two at a time, by Box and Muller.
  normal() {
    if (this.spare !== null) {
      const kept = this.spare;
      this.spare = null;
      return kept;
    }
    const radius = Math.sqrt(-2 * Math.log(this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

// What moves: all coordinates, as model units z; `energyAt(z, states)` is what the chains descend.
class WholeTarget {
  constructor(density) {
    this.density = density;
  }

  start(u) {
    return this.density.units(u);
  }

  units(position) {
    return position;
  }

  coordinates(position) {
    return this.density.unwhitened(position);
  }

  energy(position, states) {
    return this.density.model.energy(position, states, true);
  }
}

// What moves: some coordinates of u, while the others stay where they are held.
class HeldTarget {
  constructor(density, moving, held) {
    this.density = density;
    this.moving = moving;
    this.held = Float64Array.from(held);
  }

  start(u) {
    return Float64Array.from(this.moving, (j) => u[j]);
  }

  coordinates(position) {
    const u = Float64Array.from(this.held);
    this.moving.forEach((j, i) => (u[j] = position[i]));
    return u;
  }

  units(position) {
    return this.density.units(this.coordinates(position));
  }

  energy(position, states) {
    const { value, gradient } = this.density.model.energy(this.units(position), states, true);
    const pulled = this.density.pulledToCoordinates(gradient);
    return { value, gradient: Float64Array.from(this.moving, (j) => pulled[j]) };
  }
}

// x' = x - eps ∇E(x) + sqrt(2 eps) noise, accepted or not by Metropolis and Hastings' rule.
function langevinStep(target, start, states, stepSize, random) {
  const position = start.position.map(
    (x, i) => x - stepSize * start.gradient[i] + Math.sqrt(2 * stepSize) * random.normal(),
  );
  const end = { position, ...target.energy(position, states) };
  const logProposal = (from, to) => {
    let square = 0;
    for (let i = 0; i < position.length; i++) {
      square += (to.position[i] - from.position[i] + stepSize * from.gradient[i]) ** 2;
    }
    return -square / (4 * stepSize);
  };
  const logRatio = start.value - end.value + logProposal(end, start) - logProposal(start, end);
  const acceptance = Number.isFinite(end.value) ? Math.min(1, Math.exp(logRatio)) : 0;
  return [random.uniform() < acceptance ? end : start, acceptance];
}

// A draw of the free units given the position; those that are held stay.
function drawHidden(target, position, states, random) {
  const probabilities = target.density.model.probabilities(target.units(position));
  return states.map((state, k) => (state === FREE ? Number(random.uniform() < probabilities[k]) : state));
}

const LANGEVIN_MOVES = 2;
const TARGET_ACCEPTANCE = 0.574;
const SETTLING_STEPS = 300;

class Chains {
  constructor(target, starts, { kernel = "mala", stepSize = 0.1, seed = 0, adapts = true } = {}) {
    this.target = target;
    this.kernel = kernel;
    this.stepSize = stepSize;
    this.random = new Random(seed);
    this.adapts = adapts;
    this.positions = starts.map((u) => target.start(u));
    this.nSteps = 0;
    this.acceptance = NaN;
  }

  // Moves every chain once.
  step(states) {
    let sum = 0;
    this.positions = this.positions.map((position) => {
      const [moved, acceptance] = this.kernel === "mala" ? this.move(position, states, 1) : this.gibbs(position, states);
      sum += acceptance;
      return moved;
    });
    const mean = sum / this.positions.length;
    this.acceptance = Number.isNaN(this.acceptance) ? mean : 0.95 * this.acceptance + 0.05 * mean;
    // Steps that adapt break stationarity by a little; after these the kernel stays as it is.
    if (this.adapts && this.nSteps < SETTLING_STEPS) {
      this.stepSize = Math.min(Math.max(this.stepSize * Math.exp(0.1 * (mean - TARGET_ACCEPTANCE)), 1e-6), 10);
    }
    this.nSteps += 1;
  }

  gibbs(position, states) {
    return this.move(position, drawHidden(this.target, position, states, this.random), LANGEVIN_MOVES);
  }

  move(position, states, nMoves) {
    let state = { position, ...this.target.energy(position, states) };
    let sum = 0;
    for (let i = 0; i < nMoves; i++) {
      const [next, acceptance] = langevinStep(this.target, state, states, this.stepSize, this.random);
      state = next;
      sum += acceptance;
    }
    return [state.position, sum / nMoves];
  }
}
