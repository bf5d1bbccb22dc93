"""The OpenAPI document, from the declarations that requests are parsed by and the columns of the
run.
"""

from importlib.metadata import version
from typing import Any

import msgspec

from harmonium.data import Columns, Field
from harmonium.service import messages
from harmonium.service.bodies import ARROW, JSON
from harmonium.service.limits import Limits
from harmonium.service.problems import TITLES

_REF = "#/components/schemas/{name}"
# By endpoint: what it does, what is sent and answered, and what the query says with Arrow bodies.
_ASKED = {
    "score": (
        "What is a row worth? Log-densities, nats and data units.",
        *(messages.ScoreRequest, messages.ScoreAnswer, messages.Options),
    ),
    "detect": (
        "Which rows and cells are odd? Scores, p-values, flags and reasons.",
        *(messages.DetectRequest, messages.DetectAnswer, messages.DetectOptions),
    ),
    "impute": (
        "What would be likely? Missing cells filled, once or by draws.",
        *(messages.ImputeRequest, messages.ImputeAnswer, messages.ImputeOptions),
    ),
    "sample": (
        "New rows, all of them or those of a kind.",
        *(messages.SampleRequest, messages.SampleAnswer, None),
    ),
}
_TOLD = {
    "health": ("Whether requests are answered.", messages.Health),
    "model": ("What the run is: columns, verdicts, limits.", messages.Model),
}
_REFUSED = (400, 408, 409, 413, 415, 422, 503)
_TYPES = {"number": "number", "integer": "number", "boolean": "boolean"}


def describe_api(columns: Columns, limits: Limits) -> dict[str, Any]:
    """The document, with the columns of the run as the properties of a row."""
    structs = [own for _, *parts in _ASKED.values() for own in parts if own is not None]
    structs += [own for _, own in _TOLD.values()] + [messages.Problem]
    _, schemas = msgspec.json.schema_components(structs, ref_template=_REF)
    schemas["Row"] = _row(columns)
    for name in ("Score", "Detect", "Impute"):
        rows = schemas[f"{name}Request"]["properties"]["rows"]
        rows |= {"items": {"$ref": _REF.format(name="Row")}, "maxItems": limits.rows}
    paths: dict[str, Any] = {f"/{name}": {"post": _asked(name)} for name in _ASKED}
    for name, (summary, answer) in _TOLD.items():
        content = {JSON: {"schema": _ref(answer)}}
        paths[f"/{name}"] = {"get": _operation(name, summary, content)}
    counts = {"text/plain": {"schema": {"type": "string"}}}
    summary = "Counts and times in Prometheus' text format."
    paths["/metrics"] = {"get": _operation("metrics", summary, counts)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "harmonium", "version": version("harmonium")},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _asked(name: str) -> dict[str, Any]:
    summary, request, answer, options = _ASKED[name]
    content: dict[str, Any] = {JSON: {"schema": _ref(answer)}, ARROW: {}}
    operation = _operation(name, summary, content)
    body: dict[str, Any] = {JSON: {"schema": _ref(request)}}
    if options is not None:
        body[ARROW] = {}
        _, own = msgspec.json.schema_components([options], ref_template=_REF)
        properties = own[options.__name__].get("properties", {})
        operation["parameters"] = [
            {"name": key, "in": "query", "schema": schema, "description": "With Arrow bodies."}
            for key, schema in properties.items()
        ]
    operation["requestBody"] = {"required": True, "content": body}
    problem = {"application/problem+json": {"schema": _ref(messages.Problem)}}
    for status in _REFUSED:
        operation["responses"][str(status)] = {"description": TITLES[status], "content": problem}
    return operation


def _operation(name: str, summary: str, content: dict[str, Any]) -> dict[str, Any]:
    answered = {"description": "the answer", "content": content}
    return {"operationId": name, "summary": summary, "responses": {"200": answered}}


def _ref(struct: Any) -> dict[str, str]:
    return {"$ref": _REF.format(name=struct.__name__)}


def _row(columns: Columns) -> dict[str, Any]:
    fields = columns.fields
    return {
        "type": "object",
        "description": "A row by the names of columns; null is a missing cell.",
        "properties": {field.name: _cell(field) for field in fields},
        "required": [field.name for field in fields if field.kind != "identifier"],
    }


def _cell(field: Field) -> dict[str, Any]:
    if field.kind == "categorical" and field.form == "text":
        known = ", ".join(field.categories[:20])
        return {"type": ["string", "null"], "description": f"Known categories: {known}"}
    if field.form == "datetime":
        return {"type": ["string", "null"], "description": "A date, ISO text."}
    if field.kind == "identifier":
        return {"description": "Names rows; it may be left out."}
    return {"type": [_TYPES.get(field.form, "string"), "null"]}
