"use strict";
// One row, judged by the endpoints of this service.

const find = (id) => document.getElementById(id);
let model = null;
let seed = 0;

async function ask(path, body) {
  const options = body && {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  };
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail), answer);
  return answer;
}

function make(tag, text, parts = {}) {
  const made = Object.assign(document.createElement(tag), parts);
  if (text !== null) made.textContent = text;
  return made;
}

const isNumber = (column) => column.categories.length === 0
  && (column.form === "number" || column.form === "integer");
const asked = () => model.columns.filter((column) => column.kind !== "ignored");
const input = (column) => find("cell-" + model.columns.indexOf(column));

// A cell as JSON has it; text that is no number goes as it is, and the service says what is wrong.
function cellOf(column) {
  const text = input(column).value.trim();
  if (text === "") return null;
  if (column.form === "boolean" && (text === "true" || text === "false")) return text === "true";
  const number = Number(text);
  const plain = isNumber(column) || (column.form !== "text" && column.form !== "datetime");
  return plain && Number.isFinite(number) ? number : text;
}

function rowOf() {
  const row = {};
  for (const column of model.columns) {
    row[column.name] = column.kind === "ignored" ? null : cellOf(column);
  }
  return row;
}

const shown = (cell) => (cell === null || cell === undefined ? "" : String(cell));
const round = (number) => (typeof number === "number" ? Number(number.toPrecision(5)) : number);

function show(row) {
  for (const column of asked()) input(column).value = shown(row[column.name]);
}

function buildForm() {
  const cells = find("cells");
  model.columns.forEach((column, place) => {
    if (column.kind === "ignored") return;
    const cell = make("div", null, { className: "cell" });
    const field = make("input", null, { id: "cell-" + place, autocomplete: "off" });
    cell.append(make("label", column.name, { htmlFor: field.id }), field);
    if (column.categories.length) {
      const list = make("datalist", null, { id: "known-" + place });
      for (const known of column.categories.slice(0, 200)) {
        list.append(make("option", null, { value: known }));
      }
      field.setAttribute("list", list.id);
      cell.append(list);
    }
    cell.append(make("p", "", { className: "why" }), make("p", "", { className: "likely" }));
    cells.append(cell);
  });
}

function clear() {
  find("problem").textContent = "";
  find("answer").hidden = true;
  for (const cell of document.querySelectorAll(".cell")) {
    cell.classList.remove("odd");
    for (const part of cell.querySelectorAll(".why, .likely")) part.textContent = "";
  }
}

function showProblem(problem) {
  find("problem").textContent = problem.message;
  const column = model && model.columns.find((own) => own.name === problem.column);
  if (column && input(column)) input(column).closest(".cell").classList.add("odd");
}

function showReasons(reasons) {
  for (const reason of reasons) {
    const column = model.columns.find((own) => own.name === reason.column);
    if (!column || !input(column)) continue;
    const cell = input(column).closest(".cell");
    cell.classList.add("odd");
    cell.querySelector(".why").textContent = reason.text;
  }
}

// What each cell would be if it were not known: as many rows as columns, each with one hole.
async function showLikely(row) {
  const columns = asked().filter((column) => column.kind !== "constant");
  const rows = columns.map((column) => ({ ...row, [column.name]: null }));
  const found = await ask("/impute", { rows });
  columns.forEach((column, place) => {
    const likely = found.rows[place][column.name];
    const part = input(column).closest(".cell").querySelector(".likely");
    part.textContent = "likely " + shown(round(likely));
    const button = make("button", "use", { type: "button" });
    button.addEventListener("click", () => { input(column).value = shown(likely); });
    part.append(button);
  });
}

async function judge() {
  clear();
  const row = rowOf();
  const figures = find("figures");
  const verdicts = [];
  const listed = [];
  if (model.density) {
    const scored = await ask("/score", { rows: [row] });
    listed.push(["log-density", round(scored.log_density[0]) + " nats"]);
    for (const note of scored.notes) listed.push(["note", note.text + ": " + note.column]);
    verdicts.push(scored.verdict);
  }
  if (model.detector) {
    const judged = await ask("/detect", { rows: [row], reasons: 10 });
    listed.push(["score", String(round(judged.score[0])) + " (higher is more normal)"]);
    listed.push(["p-value", String(round(judged.p_value[0]))]);
    const reasons = judged.reasons[0] || [];
    const odd = reasons.map((reason) => reason.column).join(", ");
    listed.push(["odd cells", odd || "none by itself"]);
    showReasons(reasons);
    verdicts.push(judged.verdict);
  }
  figures.replaceChildren(...listed.flatMap(([name, text]) => [make("dt", name), make("dd", text)]));
  find("verdict").textContent = verdicts.join(" ");
  if (model.density) await showLikely(row);
  find("answer").hidden = false;
}

async function draw() {
  clear();
  const drawn = await ask("/sample", { n: 1, random_state: seed });
  seed += 1;
  show(drawn.rows[0]);
}

async function fill() {
  clear();
  show((await ask("/impute", { rows: [rowOf()] })).rows[0]);
}

const guarded = (act) => async (event) => {
  event.preventDefault();
  try { await act(); } catch (problem) { showProblem(problem); }
};

async function begin() {
  model = await ask("/model");
  find("name").textContent = model.name;
  document.title = model.name + " - harmonium";
  buildForm();
  find("form").addEventListener("submit", guarded(judge));
  find("draw").addEventListener("click", guarded(draw));
  find("fill").addEventListener("click", guarded(fill));
  if (!model.density) return;
  find("draw").hidden = find("fill").hidden = false;
  await draw();
}

begin().catch(showProblem);
