"""Kind of truth: shell. Every answer of a service is that of the estimators, and every bad request
gets one line that says what and where."""

import json
import re
import socket
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from shell.serving import mixed_table, plain_rows, serving, stream
from shell.test_cli import call

from harmonium import Imputer, load
from harmonium.errors import HarmoniumWarning
from harmonium.service.bodies import ARROW
from harmonium.service.questions import COMPLETED, DRAWN

TABLE = mixed_table()
ROWS = plain_rows(TABLE)
SOME, WHOLE = TABLE.slice(0, 12), [row for row in ROWS[:12] if row["weight"] is not None]
LIMITS = ("--max-rows", 500, "--max-bytes", 200_000, "--time-limit", 20)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    pa.csv.write_csv(TABLE, folder / "table.csv")
    quick = ("--effort", "quick", "--no-report")
    assert call("fit", folder / "table.csv", "-o", folder / "run", *quick) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def service(run):
    with serving(run, *LIMITS) as served:
        yield served.client


@pytest.fixture(scope="module")
def density(run):
    estimator = load(run)
    estimator.container_ = "pyarrow"
    return estimator


@pytest.fixture(scope="module")
def detector(run):
    return load(run / "detector.safetensors")


def answer(service, path, **request):
    found = service.post(path, **request)
    assert found.status_code == 200, found.text
    return found.json()


def answered_table(service, path, table, **options):
    found = service.post(path, **stream(table), params=options)
    assert found.status_code == 200, found.text
    assert found.headers["content-type"] == ARROW
    return pa.ipc.open_stream(found.content).read_all()


def refused(service, path, **request):
    """The problem that a request gets: one line, with its status."""
    found = service.post(path, **request)
    problem = found.json()
    assert found.headers["content-type"] == "application/problem+json"
    assert problem["status"] == found.status_code and "\n" not in problem["detail"]
    return problem


def test_scores_are_those_of_the_estimator(service, density):
    expected = density.score_samples(SOME)
    found = answer(service, "/score", json={"rows": ROWS[:12]})
    np.testing.assert_allclose(found["log_density"], expected, rtol=1e-6)
    assert found["verdict"] == density.verdict_ and found["notes"] == []
    one_by_one = [answer(service, "/score", json={"rows": [row]}) for row in ROWS[:4]]
    np.testing.assert_allclose([own["log_density"][0] for own in one_by_one], expected[:4], 1e-6)
    columns = answered_table(service, "/score", SOME)
    np.testing.assert_allclose(columns["log_density"], expected, rtol=1e-6)
    assert json.loads(columns.schema.metadata[b"harmonium"])["verdict"] == density.verdict_


def test_detection_is_that_of_the_estimator(service, detector):
    odd = TABLE.slice(0, 20).to_pylist()
    odd[3]["weight"] = 40.0
    table = pa.Table.from_pylist(odd, TABLE.schema)
    found = answer(service, "/detect", json={"rows": plain_rows(table), "explain": 4, "reasons": 2})
    scores = detector.score_samples(table)
    np.testing.assert_allclose(found["score"], scores, rtol=1e-6)
    np.testing.assert_allclose(found["p_value"], detector.p_values(table), rtol=1e-6)
    np.testing.assert_allclose(found["modelled_p_value"], detector.modelled_p_values(table), 1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HarmoniumWarning)
        assert found["flagged"] == detector.select(table).tolist()
    lowest = np.sort(np.argsort(scores, kind="stable")[:4])
    assert [i for i, own in enumerate(found["reasons"]) if own is not None] == lowest.tolist()
    expected = detector.explain(table.take(lowest)).reasons
    for at, own in zip(lowest, expected, strict=True):
        named = found["reasons"][at]
        assert [r["text"] for r in named] == [r.describe() for r in own[:2]]
        np.testing.assert_allclose([r["drop"] for r in named], [r.drop for r in own[:2]], 1e-6)
    assert found["reasons"][3][0]["column"] == "weight"
    columns = answered_table(service, "/detect", table, explain=4, reasons=2)
    assert columns["reasons"].to_pylist() == [
        own and [reason["text"] for reason in own] for own in found["reasons"]
    ]


def test_fills_are_those_of_the_estimator(service, density):
    imputer = Imputer(COMPLETED[0], n_trees=0, random_state=3).adopt(density)
    request = {"rows": ROWS[:12], "random_state": 3}
    assert SOME["weight"].null_count
    found = answer(service, "/impute", json=request)["rows"]
    assert found == plain_rows(imputer.transform(SOME))
    drawn = answer(service, "/impute", json=request | {"draws": 2})["rows"]
    assert drawn == [row for table in imputer.draws(SOME)[:2] for row in plain_rows(table)]
    columns = answered_table(service, "/impute", SOME, draws=2, random_state=3)
    assert columns["draw"].to_pylist() == [1] * 12 + [2] * 12
    np.testing.assert_allclose(columns["weight"], [row["weight"] for row in drawn], rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, None),
        ({"color": "red"}, {"color": "red"}),
        ({"color": ["red", "blue"], "size": {"low": 3.0}}, None),
    ],
)
def test_draws_are_those_of_the_estimator(service, density, given, wanted):
    request = {"n": 5, "given": given, "random_state": 7}
    found = answer(service, "/sample", json=request)["rows"]
    assert found == answer(service, "/sample", json=request)["rows"]
    if not given or wanted:
        drawn = density.sample(DRAWN[0], given=wanted, random_state=7).slice(0, 5)
        assert found == plain_rows(drawn.drop_columns(["id"]))
    colors, sizes = [row["color"] for row in found], [row["size"] for row in found]
    assert set(colors) <= set(given.get("color", colors) if wanted is None else ["red"])
    assert min(sizes) >= given.get("size", {"low": min(sizes)})["low"]


BAD_CELLS = {
    "text": ("weight", "heavy", "'heavy'"),
    "list": ("weight", [1], "a list"),
    "too large": ("weight", 1e300, "1e+100"),
    "truth": ("day", True, "dates"),
    "no date": ("day", "soon", "'soon'"),
}


@pytest.mark.parametrize(("column", "cell", "said"), BAD_CELLS.values(), ids=BAD_CELLS)
@pytest.mark.parametrize("path", ["/score", "/detect", "/impute"])
def test_a_bad_cell_is_named(service, path, column, cell, said):
    rows = [*WHOLE[:2], WHOLE[2] | {column: cell}]
    problem = refused(service, path, json={"rows": rows})
    assert problem["status"] == 422 and said in problem["detail"]
    assert problem["column"] == column and problem.get("row") in (3, None)
    assert column in problem["detail"]


def test_columns_that_lack_or_are_unknown_are_named(service):
    typo = {("wieght" if name == "weight" else name): cell for name, cell in WHOLE[0].items()}
    problem = refused(service, "/score", json={"rows": [WHOLE[1], typo]})
    assert (problem["status"], problem["column"], problem["row"]) == (422, "weight", 2)
    without_id = {name: cell for name, cell in WHOLE[0].items() if name != "id"}
    row = without_id | {"more": 1, "color": "grren"}
    notes = answer(service, "/score", json={"rows": [row]})["notes"]
    assert [(note["column"], note["row"]) for note in notes] == [("more", None), ("color", 1)]
    reasons = answer(service, "/detect", json={"rows": [row]})["reasons"][0]
    assert any("grren" in own["text"] for own in reasons)


JSON = {"content-type": "application/json"}
COMPRESSED = stream(SOME, compression="zstd")
BAD_BODIES = {
    "no JSON": (400, {"content": b"{", "headers": JSON}),
    "not a number": (400, {"content": b'{"rows": [{"size": NaN}]}', "headers": JSON}),
    "not UTF-8": (400, {"content": b'{"rows": "\xff"}', "headers": JSON}),
    "another key": (422, {"json": {"row": []}}),
    "a key with a point": (422, {"json": {"more.rows": []}}),
    "no rows": (422, {"json": {"rows": []}}),
    "a number": (422, {"json": 3}),
    "deep": (422, {"content": b"[" * 100_000, "headers": JSON}),
    "long number": (
        422,
        {"content": b'{"rows": [{"size": ' + b"9" * 5000 + b"}]}", "headers": JSON},
    ),
    "half a stream": (400, {**stream(SOME), "content": stream(SOME)["content"][:300]}),
    "compressed": (415, COMPRESSED),
    "a form": (415, {"data": {"rows": "1"}}),
    "many rows": (413, {"json": {"rows": [{}] * 501}}),
    "many bytes": (413, {"content": b" " * 200_001, "headers": JSON}),
    "far too many bytes": (413, {"content": b" " * 600_000, "headers": JSON}),
    "empty rows": (413, stream(pa.table({"size": pa.nulls(10**9)}))),
    "long words": (
        413,
        stream(pa.table({"color": pa.array(["x" * 50_000] * 400).dictionary_encode()})),
    ),
    "lists": (422, stream(pa.table({"size": [[1.0]]}))),
}


@pytest.mark.parametrize(("status", "request_"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_bad_body_is_refused_with_a_reason(service, status, request_):
    assert refused(service, "/score", **request_)["status"] == status
    assert answer(service, "/score", json={"rows": WHOLE[:1]})


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("/detect", {"fdr": 2}, 422),
        ("/detect", {"explain": 10_000}, 413),
        ("/impute", {"draws": 64}, 413),
        ("/impute", {"random_state": -1}, 422),
        ("/sample", {"n": 0, "rows": None}, 422),
        ("/sample", {"n": 501}, 413),
        ("/sample", {"given": {"colour": "red"}}, 422),
        ("/nothing", {}, 404),
        ("/health", {}, 405),
    ],
)
def test_wrong_options_are_refused(service, path, options, status):
    rows = {} if path == "/sample" else {"rows": WHOLE}
    assert refused(service, path, json=rows | options)["status"] == status


def send_on(connection, data):
    while True:
        connection.sendall(data)


def test_what_does_not_come_or_end_is_not_waited_for(service):
    address = service.base_url.host, service.base_url.port
    with socket.create_connection(address) as head, socket.create_connection(address) as body:
        head.sendall(b"POST /score HTTP/1.1\r\nhost")
        body.sendall(b"POST /score HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        for slow in (head, body):
            slow.settimeout(60)
        assert head.recv(1000) == b""
        assert body.recv(1000).startswith(b"HTTP/1.1 408")
    with socket.create_connection(address) as endless:
        endless.settimeout(60)
        endless.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(OSError):
            send_on(endless, b"a: b\r\n" * 20_000)


def test_the_document_describes_the_run_and_is_whole(service, run):
    document = service.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    names = TABLE.column_names
    assert list(schemas["Row"]["properties"]) == names
    assert schemas["Row"]["required"] == names[1:]
    named = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document))
    assert set(named) <= set(schemas)
    assert schemas["ScoreRequest"]["properties"]["rows"]["maxItems"] == 500
    model = service.get("/model").json()
    assert [own["name"] for own in model["columns"]] == names
    assert model["density"]["verdict"] and model["limits"]["rows"] == 500
    assert model["card"]["verdict"] == model["density"]["verdict"]
    assert model["card"] == json.loads((run / "card.json").read_text()) | {"name": run.name}
    assert service.get("/health").json() == {"status": "ok"}


def test_nothing_is_compiled_for_a_request(service):
    text = service.get("/metrics").text
    assert re.search(r"^harmonium_compilations_total 0$", text, re.M)
    (before,) = re.findall(r'rows_total\{endpoint="score"\} (\S+)', text)
    answer(service, "/score", json={"rows": ROWS[:7]})
    text = service.get("/metrics").text
    (after,) = re.findall(r'rows_total\{endpoint="score"\} (\S+)', text)
    assert float(after) == float(before) + 7


def test_pages_ask_for_nothing_from_elsewhere(service):
    for path in ("/", "/docs", "/assets/index.js", "/assets/docs.js", "/assets/service.css"):
        page = service.get(path)
        assert page.status_code == 200 and "http" not in re.sub(
            r"https?://json-schema", "", page.text
        )
        assert "default-src 'none'" in page.headers["content-security-policy"]


def test_what_serves_has_to_be_installed(run, monkeypatch, capsys):
    monkeypatch.setattr("harmonium.cli.serve.find_spec", lambda name: None)
    assert call("serve", run) == 2
    told = capsys.readouterr().err
    assert 'pip install "harmonium[serve]"' in told and len(told.splitlines()) == 1


def test_a_port_that_is_taken_and_a_run_that_is_none_are_refused(run, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert call("serve", run, "--port", taken.getsockname()[1]) == 2
    assert "cannot listen" in capsys.readouterr().err
    assert call("serve", tmp_path) == 2
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    assert call("serve", tmp_path) == 2
    assert all(len(told.splitlines()) == 1 for told in capsys.readouterr().err.split("error:")[1:])
