// The fitted density of rows of the table: coordinates, model and log Z together.

class Density {
  constructor(stored) {
    this.columns = stored.columns.map((column) => new Marginal(column));
    this.n = this.columns.length;
    this.center = stored.whitening.center;
    this.matrix = stored.whitening.matrix;
    this.inverse = stored.whitening.inverse;
    this.logDet = stored.whitening.logDet;
    this.logRule = stored.logRule;
    this.logPartition = stored.logPartition;
    this.model = new Model(stored.model);
    this.states = [...this.model.allFree];
  }

  // The coordinates of a row (columns) of the table at the centers of its cells.
  coordinates(row) {
    return Float64Array.from(this.columns, (column, j) => column.center(row[j]));
  }

  // Model units of coordinates u: z = (u - center) M for rows.
  units(u) {
    const z = new Float64Array(this.n);
    for (let j = 0; j < this.n; j++) {
      const own = u[j] - this.center[j];
      for (let i = 0, at = j * this.n; i < this.n; i++, at++) z[i] += own * this.matrix[at];
    }
    return z;
  }

  // Coordinates of model units.
  unwhitened(z) {
    const u = Float64Array.from(this.center);
    for (let j = 0; j < this.n; j++) {
      for (let i = 0, at = j * this.n; i < this.n; i++, at++) u[i] += z[j] * this.inverse[at];
    }
    return u;
  }

  // The gradient by u of a function with this gradient by z.
  pulledToCoordinates(gradient) {
    return linear(this.matrix, new Float64Array(this.n), gradient);
  }

  // Everything that is shown of a row. With units that are held, `logDensity` is that of the row
  // together with their states.
  read(row) {
    const z = this.units(this.coordinates(row));
    const energy = this.model.energy(z, this.states).value;
    const measures = this.columns.map((column, j) => column.measure(row[j]));
    const jacobian = measures.reduce((sum, own) => sum + own.value, this.logDet + this.logRule);
    return {
      energy,
      logDensity: jacobian - energy - this.logPartition.value,
      isExact: measures.every((own) => own.exact),
      probabilities: this.model.probabilities(z),
      shares: this.model.base.energy(z, false).shares,
    };
  }
}
