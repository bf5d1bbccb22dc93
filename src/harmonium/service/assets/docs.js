"use strict";
// The OpenAPI document of this service as a page.

function make(tag, text, ...parts) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  made.append(...parts);
  return made;
}

const nameOf = (reference) => reference.split("/").pop();

function link(reference) {
  const anchor = make("a", nameOf(reference));
  anchor.href = "#" + nameOf(reference);
  return anchor;
}

// A schema in a few words, with links to the types that it names.
function typeOf(schema) {
  if (!schema) return [];
  if (schema.$ref) return [link(schema.$ref)];
  if (schema.anyOf) return schema.anyOf.flatMap((own, i) => (i ? [" or ", ...typeOf(own)] : typeOf(own)));
  if (schema.type === "array" && schema.items) return ["list of ", ...typeOf(schema.items)];
  if (schema.additionalProperties) return ["object of ", ...typeOf(schema.additionalProperties)];
  const limits = [
    ["minimum", "from"], ["maximum", "to"], ["exclusiveMinimum", "above"],
    ["exclusiveMaximum", "below"], ["maxItems", "at most"],
  ].filter(([key]) => key in schema).map(([key, word]) => `${word} ${schema[key]}`);
  const type = Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type || "any";
  return [[type, ...limits].join(", ")];
}

function tableOf(schema) {
  const body = make("tbody");
  const required = schema.required || [];
  for (const [name, own] of Object.entries(schema.properties || {})) {
    const note = [own.description, "default" in own ? `default ${JSON.stringify(own.default)}` : ""];
    body.append(make("tr", "", make("th", name + (required.includes(name) ? " *" : "")),
      make("td", "", ...typeOf(own)), make("td", note.filter(Boolean).join("; "))));
  }
  const scroll = make("div", "", make("table", "", body));
  scroll.className = "scroll";
  return scroll;
}

function example(path, operation, document_) {
  const here = location.origin + path;
  if (!operation.requestBody) return `curl ${here}`;
  const row = Object.fromEntries(
    Object.keys(document_.components.schemas.Row.properties).map((name) => [name, null]));
  const body = path === "/sample" ? { n: 3, random_state: 0 } : { rows: [row] };
  return `curl ${here} -H 'content-type: application/json' \\\n  -d '${JSON.stringify(body)}'`;
}

function show(document_) {
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const head = make("summary");
      const verb = make("span", method.toUpperCase());
      verb.className = "method";
      head.append(verb, make("code", path), " ", operation.summary);
      const box = make("details", "", head);
      for (const [type, content] of Object.entries((operation.requestBody || {}).content || {})) {
        box.append(make("p", "", `takes ${type} `, ...typeOf(content.schema)));
      }
      for (const own of operation.parameters || []) {
        box.append(make("p", "", `query ${own.name}: `, ...typeOf(own.schema)));
      }
      for (const [status, own] of Object.entries(operation.responses)) {
        const types = Object.entries(own.content || {})
          .flatMap(([type, content]) => [` ${type} `, ...typeOf(content.schema)]);
        box.append(make("p", "", `${status} ${own.description}:`, ...types));
      }
      box.append(make("pre", example(path, operation, document_)));
      document.getElementById("endpoints").append(box);
    }
  }
  for (const [name, schema] of Object.entries(document_.components.schemas)) {
    const title = make("h3", name);
    title.id = name;
    document.getElementById("types").append(title, make("p", schema.description || ""), tableOf(schema));
  }
}

fetch("/openapi.json").then((response) => response.json()).then(show).catch((problem) => {
  document.getElementById("problem").textContent = problem.message;
});
