"""The example of docs/monitor.md runs, and shows what it says."""

import re
from pathlib import Path

import jax

PAGE = Path(__file__).parents[2] / "docs" / "monitor.md"


def test_the_example_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        exec(compile(block, "monitor.md", "exec"), {})
    before, after, *drifts = capsys.readouterr().out.splitlines()
    assert before.startswith("no alarm; 300 rows")
    assert after.startswith("ALARM at row 3")
    assert re.match(r"x[12]: .* correlation with x[12] 0\.9\d before, -?0\.\d\d now", drifts[0])
