// Parts of the page that are made here: sliders and pickers of columns, units, components, bars.

const byId = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function fillSelect(select, labels, chosen) {
  select.replaceChildren(...labels.map((label, value) => make("option", { value }, label)));
  select.value = String(chosen);
}

// How a column that is not on the plane is held: a picker of levels, or a slider that is linear in
// u, so that long tails take no more of it than their rows do.
function makeHolder(column, j, cell, onChange) {
  const id = `held-${j}`;
  const output = make("output", { for: id }, column.text(cell));
  const label = make("label", { for: id }, clipped(column.name, 40));
  let input;
  if (column.isLevels) {
    input = make("select", { id });
    fillSelect(input, column.atoms.map((atom) => column.text(atom)), Math.max(column.index(cell), 0));
    input.addEventListener("change", () => onChange(j, column.atoms[Number(input.value)]));
    return make("div", { class: "holder" }, label, input);
  }
  const [low, high] = [column.center(column.lowest), column.center(column.highest)];
  input = make("input", { id, type: "range", min: low, max: high, step: (high - low) / 200 });
  input.value = String(column.center(cell));
  input.setAttribute("aria-valuetext", column.text(cell));
  input.addEventListener("input", () => {
    const held = column.snap(column.numberAt(Number(input.value)));
    output.value = column.text(held);
    input.setAttribute("aria-valuetext", column.text(held));
    onChange(j, held);
  });
  return make("div", { class: "holder" }, label, output, input);
}

const STATE_WORDS = { [FREE]: "free", 0: "off", 1: "on" };
const NEXT_STATE = { [FREE]: 1, 1: 0, 0: FREE };

// A button that goes from free to on to off, with a bar for the probability of the unit.
function makeUnit(k, onChange) {
  const word = make("span", { class: "word" });
  const bar = make("span", { class: "bar" });
  const button = make("button", { type: "button", class: "unit" }, `h${k + 1} `, word, bar);
  button.addEventListener("click", () => onChange(k));
  return {
    button,
    show(state, probability) {
      word.textContent = STATE_WORDS[state];
      button.dataset.state = STATE_WORDS[state];
      bar.style.setProperty("--share", String(probability));
      button.setAttribute(
        "aria-label",
        `hidden unit ${k + 1}: ${STATE_WORDS[state]}, probability of on ${percentText(probability)}`,
      );
      button.title = `P(h${k + 1} on | x) = ${probability.toFixed(3)}`;
    },
  };
}

function makeComponent(k, name, onChange) {
  const input = make("input", { type: "checkbox", checked: "" });
  const share = make("span", { class: "word" });
  const bar = make("span", { class: "bar" });
  input.addEventListener("change", () => onChange(k, input.checked));
  return {
    k,
    label: make("label", { class: "unit" }, input, ` ${name} `, share, bar),
    show(isIn, probability) {
      input.checked = isIn;
      share.textContent = percentText(probability);
      bar.style.setProperty("--share", String(probability));
    },
  };
}

const percentText = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;

// Waits until a hand rests, so that a screen reader is not told every place on the way.
function later(action, milliseconds) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}
