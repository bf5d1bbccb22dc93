"""The example of docs/tasks/drift.md runs, and shows what it says."""

import re

from docs.pages import DOCS, code_of, run

PAGE = DOCS / "tasks" / "drift.md"


def test_the_example_runs(capsys):
    (block,) = code_of(PAGE)
    run(block, "drift.md")
    before, after, *drifts = capsys.readouterr().out.splitlines()
    assert before.startswith("no alarm; 300 rows")
    assert after.startswith("ALARM at row 3")
    assert re.match(r"x[12]: .* correlation with x[12] 0\.9\d before, -?0\.\d\d now", drifts[0])
