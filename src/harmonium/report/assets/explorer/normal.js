// The standard normal distribution in logarithms, exact in both tails, and sums of exponentials.

const LOG_ROOT_2PI = 0.5 * Math.log(2 * Math.PI);
const LOG_HALF = Math.log(0.5);

const logNormalDensity = (z) => -0.5 * z * z - LOG_ROOT_2PI;

// log Φ(z): a power series near 0, the continued fraction of Mills' ratio in the lower tail.
function logNdtr(z) {
  if (z === Infinity) return 0;
  if (z === -Infinity) return -Infinity;
  if (z > 0) return Math.log1p(-Math.exp(logNdtr(-z)));
  if (z > -3) {
    let term = z;
    let sum = z;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (z * z) / (2 * n + 1);
      sum += term;
    }
    return Math.log(0.5 + Math.exp(logNormalDensity(z)) * sum);
  }
  let fraction = -z;
  for (let n = z < -8 ? 40 : 160; n > 0; n--) fraction = -z + n / fraction;
  return logNormalDensity(z) - Math.log(fraction);
}

// The z with log Φ(z) = y. Newton's method on a concave function, from below: it never overshoots.
function ndtriExp(y) {
  if (y >= 0) return Infinity;
  if (y === -Infinity) return -Infinity;
  if (y > LOG_HALF) return -ndtriExp(Math.log(-Math.expm1(y)));
  let z = -Math.sqrt(-2 * y);
  for (let i = 0; i < 60; i++) {
    const found = logNdtr(z);
    const step = (y - found) * Math.exp(found - logNormalDensity(z));
    z += step;
    if (Math.abs(step) <= 1e-15 * (1 + Math.abs(z))) break;
  }
  return z;
}

function logSumExp(values) {
  let peak = -Infinity;
  for (const value of values) peak = Math.max(peak, value);
  if (peak === -Infinity) return peak;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - peak);
  return peak + Math.log(sum);
}

// The u with log Φ(u) = lower and log Φ(-u) = upper, from the smaller of the two.
const fromLogTails = (lower, upper) => (lower <= upper ? ndtriExp(lower) : -ndtriExp(upper));

// The median of N(0, 1) between two ends.
function middleOf(low, high) {
  if (low === high) return low;
  const half = (a, b) => logSumExp([LOG_HALF + a, LOG_HALF + b]);
  const found = fromLogTails(half(logNdtr(low), logNdtr(high)), half(logNdtr(-low), logNdtr(-high)));
  return Math.min(Math.max(found, low), high);
}

// log(Φ(high) - Φ(low)), on the side where nothing is close to 1.
function logIntervalMass(low, high) {
  if (low > -high) [low, high] = [-high, -low];
  const middle = (low + high) / 2;
  if (high - low < 1e-4) return logNormalDensity(middle) + Math.log(high - low);
  return logNdtr(high) + Math.log(-Math.expm1(logNdtr(low) - logNdtr(high)));
}
