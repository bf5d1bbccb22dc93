// The page: one row of cells that is read, the two columns of the plane, units, chains.

const N_TILES = 16;
const FIRST_STEPS = 40;
const NEAR_PIXELS = 14;

function decodeArray({ type, data }) {
  const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
  return Float64Array.from(type === "f32" ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer));
}

// Every array of what the page holds, decoded.
function decoded(value) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(decoded);
  if (typeof value.data === "string" && typeof value.type === "string") return decodeArray(value);
  return Object.fromEntries(Object.entries(value).map(([name, own]) => [name, decoded(own)]));
}

class Explorer {
  constructor(stored) {
    this.stored = stored;
    this.density = new Density(stored);
    const n = this.density.n;
    this.rows = Array.from({ length: stored.rows.values.length / n }, (_, i) =>
      stored.rows.values.subarray(i * n, (i + 1) * n),
    );
    this.whole = this.rows.filter((row) => row.every((cell) => !Number.isNaN(cell)));
    this.inner = this.rows.map((row) => this.density.coordinates(row));
    this.row = Float64Array.from(this.whole[0]);
    this.pair = stored.pair;
    this.image = stored.image;
    this.isPlaying = false;
    this.drawing = new Drawing(byId("plot"));
    this.depth = () => Number(byId("depth").value);
    this.announce = later(() => (byId("spoken").textContent = this.spoken()), 700);
  }

  start() {
    this.fillPickers();
    this.makeUnits();
    this.listen();
    this.drawing.resize();
    this.changePlane();
    for (let i = 0; i < FIRST_STEPS; i++) this.stepChains();
    this.drawChains();
  }

  fillPickers() {
    const names = this.density.columns.map((column) => clipped(column.name, 40));
    this.pair.forEach((j, d) => fillSelect(byId("xy"[d]), names, j));
    byId("row").max = String(this.rows.length);
    if (this.image !== null) byId("moving").value = "all";
  }

  // The plane has other columns or scales: everything is made anew.
  changePlane() {
    const isInner = byId("scale").value === "inner";
    this.axes = this.pair.map((j) => {
      const cells = this.rows.map((row) => row[j]);
      return new Axis(this.density.columns[j], cells, isInner);
    });
    this.makeHolders();
    this.changeHeld();
    this.restartChains();
  }

  makeHolders() {
    const held = this.density.columns.map((_, j) => j).filter((j) => !this.pair.includes(j));
    byId("held").hidden = held.length === 0;
    byId("holders").replaceChildren(
      ...held.map((j) =>
        makeHolder(this.density.columns[j], j, this.row[j], (column, cell) => {
          this.row[column] = cell;
          this.changeHeld();
          this.holdChains();
        }),
      ),
    );
  }

  // What is held, or the states of the units, has changed: the surface is another one.
  changeHeld() {
    if (this.surface) this.surface.isStale = true;
    this.surface = new Surface(this.density, this.axes, this.row, byId("quantity").value === "energy");
    this.strengths = this.inner.map((u) => this.likeness(u));
    this.surface.compute(() => this.drawSurface());
    this.read();
    this.drawChains();
  }

  // How near a row is to what is held, from 0 to 1.
  likeness(u) {
    const held = this.density.coordinates(this.row);
    let sum = 0;
    let n = 0;
    u.forEach((own, j) => {
      if (this.pair.includes(j) || Number.isNaN(own)) return;
      sum += (own - held[j]) ** 2;
      n += 1;
    });
    return n ? Math.exp(-0.5 * (sum / n)) : 1;
  }

  drawSurface() {
    if (!this.surface.size) return;
    this.drawing.drawSurface(this.surface, this.depth());
    const { top } = this.surface;
    byId("most").textContent = numberText(this.surface.isEnergy ? -top : top);
    byId("least").textContent = numberText(this.surface.isEnergy ? this.depth() - top : top - this.depth());
    byId("deep").value = `${this.depth()} nats`;
    const stops = Array.from({ length: 11 }, (_, i) => `rgb(${rampColor(i / 10).join(" ")})`);
    byId("ramp").style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
  }

  // Numbers of the place that is read.
  read() {
    const { pair, density, row } = this;
    this.found = density.read(row);
    const isHeld = density.states.some((state) => state !== FREE);
    const sign = this.found.isExact ? "" : "≈ ";
    byId("place").replaceChildren(
      ...pair.flatMap((j) => [
        make("dt", {}, clipped(density.columns[j].name, 40)),
        make("dd", {}, density.columns[j].text(row[j])),
      ]),
    );
    byId("free-energy").textContent = numberText(this.found.energy, 6);
    byId("energy-name").textContent = isHeld ? "energy with the units held" : "free energy F";
    byId("density-name").textContent = isHeld ? "log p(row, units held)" : "log p(row)";
    byId("log-density").textContent = sign + numberText(this.found.logDensity, 6);
    byId("approximate").hidden = this.found.isExact;
    this.units.forEach((unit, at) => {
      const k = this.order[at];
      unit.show(density.states[k], this.found.probabilities[k]);
    });
    for (const own of this.components) {
      own.show(density.model.base.isIn[own.k], this.found.shares[own.k]);
    }
    this.announce();
  }

  spoken() {
    const names = this.pair.map((j) => {
      const column = this.density.columns[j];
      return `${column.name} ${column.text(this.row[j])}`;
    });
    return `${names.join(", ")}: log-density ${numberText(this.found.logDensity)} nats`;
  }

  // Units that vary most over the rows come first.
  makeUnits() {
    const { model, states } = this.density;
    const isShown = model.hasResidual;
    this.order = isShown ? this.byVariation() : [];
    this.units = this.order.map((k) =>
      makeUnit(k, () => {
        states[k] = NEXT_STATE[states[k]];
        this.changeStates();
      }),
    );
    byId("units").replaceChildren(...this.units.map((unit) => unit.button));
    const weights = model.base.nComponents > 1 ? model.base.logWeights : [];
    const sorted = [...weights.keys()].sort((a, b) => weights[b] - weights[a]);
    this.components = sorted.map((k) =>
      makeComponent(k, this.stored.components[k], (_, isIn) => {
        model.base.isIn[k] = isIn;
        if (!model.base.isIn.some(Boolean)) model.base.isIn[k] = true;
        this.changeStates();
      }),
    );
    byId("components").replaceChildren(...this.components.map((own) => own.label));
  }

  byVariation() {
    const { model } = this.density;
    const sums = new Float64Array(model.nHidden);
    const squares = new Float64Array(model.nHidden);
    for (const row of this.whole.slice(0, 100)) {
      model.probabilities(this.density.units(this.density.coordinates(row))).forEach((p, k) => {
        sums[k] += p;
        squares[k] += p * p;
      });
    }
    const n = Math.min(this.whole.length, 100);
    const spread = sums.map((sum, k) => squares[k] / n - (sum / n) ** 2);
    return [...spread.keys()].sort((a, b) => spread[b] - spread[a]);
  }

  changeStates() {
    this.changeHeld();
    this.holdChains();
  }

  setStates(stateOf) {
    this.density.states.forEach((_, k) => (this.density.states[k] = stateOf(k)));
    this.changeStates();
  }

  // Units drawn from p(h|x) at the place that is read, all of them held then.
  drawUnits() {
    this.random ??= new Random(1);
    this.setStates((k) => Number(this.random.uniform() < this.found.probabilities[k]));
  }

  // Chains.

  target() {
    if (byId("moving").value === "all") return new WholeTarget(this.density);
    return new HeldTarget(this.density, this.pair, this.density.coordinates(this.row));
  }

  restartChains() {
    const n = Number(byId("count").value);
    const random = new Random(17);
    const starts = Array.from({ length: n }, () => {
      const row = this.whole[Math.floor(random.uniform() * this.whole.length)];
      return this.density.coordinates(row);
    });
    this.chains = new Chains(this.target(), starts, { kernel: byId("kernel").value });
    this.trails = starts.map(() => []);
    this.recordTrails();
    this.drawChains();
  }

  // Chains go on from where they are, on what is held now.
  holdChains() {
    this.chains.target = this.target();
    this.chains.nSteps = 0;
    this.drawChains();
  }

  stepChains() {
    this.chains.step(this.density.states);
    this.recordTrails();
  }

  recordTrails() {
    this.inPlace = this.chains.positions.map((position) => this.chains.target.coordinates(position));
    this.inPlace.forEach((u, i) => {
      this.trails[i].push(this.pair.map((j, d) => this.axes[d].placeAt(u[j])));
      if (this.trails[i].length > TRAIL) this.trails[i].shift();
    });
  }

  drawChains() {
    if (!this.chains) return;
    const { axes, pair } = this;
    const rows = this.rows.flatMap((row, i) => {
      const place = axes.map((axis, d) => axis.placeOf(row[pair[d]]));
      return place.some(Number.isNaN) ? [] : [{ place, strength: this.strengths[i] }];
    });
    this.drawing.drawOverlay({
      axes,
      rows: byId("data").checked ? rows : [],
      trails: this.trails,
      probe: axes.map((axis, d) => axis.placeOf(this.row[pair[d]])),
      showsTrails: byId("trails").checked,
    });
    const { nSteps, acceptance, stepSize } = this.chains;
    const settling = nSteps < SETTLING_STEPS ? ", step size still settling" : "";
    const rate = Number.isNaN(acceptance) ? "–" : percentText(acceptance);
    const slice = byId("moving").value === "all" && this.density.n > 2 ? "; they move in all columns, of which the surface is a slice" : "";
    byId("pace").textContent = `step ${nSteps}, acceptance ${rate}, step size ${numberText(stepSize, 2)}${settling}${slice}`;
    if (this.image !== null) this.drawTiles();
  }

  drawTiles() {
    const shown = this.inPlace.slice(0, N_TILES).map((u) => this.pixels((column, j) => column.numberAt(u[j])));
    drawTiles(byId("tiles"), shown, this.image);
    drawTiles(byId("own"), [this.pixels((_, j) => this.row[j])], this.image);
  }

  // All pixels of an image: those of constant and repeated columns too.
  pixels(valueOf) {
    const { constant, sources } = this.image;
    return sources.map((j, i) => (j < 0 ? constant[i] : valueOf(this.density.columns[j], j)));
  }

  play(isPlaying) {
    this.isPlaying = isPlaying;
    byId("play").textContent = isPlaying ? "Pause" : "Play";
    byId("play").setAttribute("aria-pressed", String(isPlaying));
    const frame = () => {
      if (!this.isPlaying) return;
      this.stepChains();
      this.drawChains();
      requestAnimationFrame(frame);
    };
    if (isPlaying) requestAnimationFrame(frame);
  }

  // What hands do.

  listen() {
    const on = (id, event, action) => byId(id).addEventListener(event, action);
    ["x", "y"].forEach((id, d) => on(id, "change", () => this.choose(d, Number(byId(id).value))));
    on("scale", "change", () => this.changePlane());
    on("quantity", "change", () => this.changeHeld());
    on("depth", "input", () => this.drawSurface());
    on("play", "click", () => this.play(!this.isPlaying));
    on("step", "click", () => {
      this.stepChains();
      this.drawChains();
    });
    for (const id of ["kernel", "moving", "count"]) on(id, "change", () => this.restartChains());
    on("restart", "click", () => this.restartChains());
    for (const id of ["data", "trails"]) on(id, "change", () => this.drawChains());
    on("row", "change", () => this.holdRow(Number(byId("row").value) - 1));
    on("free", "click", () => this.setStates(() => FREE));
    on("draw", "click", () => this.drawUnits());
    const keep = (isIn) => {
      const { base } = this.density.model;
      base.isIn = base.isIn.map((_, k) => isIn(k));
      this.changeStates();
    };
    on("all", "click", () => keep(() => true));
    on("likeliest", "click", () => {
      const { shares } = this.found;
      keep((k) => k === shares.indexOf(Math.max(...shares)));
    });
    const overlay = this.drawing.above;
    overlay.addEventListener("click", (event) => this.click(event.offsetX, event.offsetY));
    overlay.addEventListener("keydown", (event) => this.key(event));
    const redraw = () => {
      this.drawing.resize();
      this.drawSurface();
      this.drawChains();
    };
    window.addEventListener("resize", redraw);
    for (const query of ["(prefers-color-scheme: dark)", "print"]) {
      matchMedia(query).addEventListener("change", redraw);
    }
  }

  // Another column on one side of the plane; if it is on the other side, both change places.
  choose(d, j) {
    if (this.pair[1 - d] === j) this.pair[1 - d] = this.pair[d];
    this.pair[d] = j;
    ["x", "y"].forEach((id, side) => (byId(id).value = String(this.pair[side])));
    this.changePlane();
  }

  click(px, py) {
    let nearest = null;
    let least = byId("data").checked ? NEAR_PIXELS : 0;
    this.rows.forEach((row, i) => {
      const place = this.axes.map((axis, d) => axis.placeOf(row[this.pair[d]]));
      const [x, y] = this.drawing.toPixels(place, this.axes);
      const distance = Math.hypot(x - px, y - py);
      if (distance < least) [nearest, least] = [i, distance];
    });
    if (nearest === null) this.moveTo(this.drawing.toPlaces(px, py, this.axes));
    else this.holdRow(nearest);
  }

  // Every known cell of a row, on the plane and off it.
  holdRow(i) {
    if (!this.rows[i]) return;
    this.rows[i].forEach((cell, j) => {
      if (!Number.isNaN(cell)) this.row[j] = cell;
    });
    byId("row").value = String(i + 1);
    this.makeHolders();
    this.changeHeld();
    this.holdChains();
  }

  moveTo(places) {
    this.axes.forEach((axis, d) => (this.row[this.pair[d]] = axis.cellAt(places[d])));
    this.read();
    this.drawChains();
  }

  key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.key === " ") this.play(!this.isPlaying);
    else if (event.key === "s") byId("step").click();
    else if (moves[event.key]) {
      const size = event.shiftKey ? 0.1 : 0.02;
      const cells = this.axes.map((axis, d) => this.row[this.pair[d]]);
      this.moveTo(this.axes.map((axis, d) => axis.moved(cells[d], size * moves[event.key][d])));
    } else return;
    event.preventDefault();
  }
}

const explorer = new Explorer(decoded(JSON.parse(byId("model").textContent)));
explorer.start();
// For whoever asks from the console, and for tests.
Object.assign(globalThis, { explorer, Chains, WholeTarget, HeldTarget, Random });
