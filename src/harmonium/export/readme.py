"""The page of an export, made from what columns.json says."""

from collections.abc import Mapping
from typing import Any

_USE = """
    python score.py table.csv              # with numpy and onnxruntime
    python score.py table.csv stablehlo    # with numpy and jax

```python
import score

values = score.encode([{"column": 1.5, "other": "category"}])  # dictionaries by column name
print(score.load()(values))
```
"""


def readme(described: Mapping[str, Any]) -> str:
    """Markdown: what the folder holds, how it is used, and what is not in it."""
    files = [
        f"- `{part['file']}.{kind}`: rows in, scores out, in double precision; any number of rows, "
        f"best {part['rows']} at once."
        for part in described["parts"]
        for kind in described["formats"]
    ]
    if len(described["parts"]) > 1:
        files.append(
            "\nA row whose cells are all plain numbers is scored by the first program, any other "
            "by the second; a program answers NaN for the rows of the other one."
        )
    verdict = "may be quoted" if described["trusted"] else "may NOT be quoted"
    if described["kind"] == "detector":
        verdict = "may be used" if described["trusted"] else "may NOT be used"
    lines = [
        f"# An exported {described['kind']}",
        "",
        f"Made by {described['made_by']}. The score is the {described['score']}."
        if described["kind"] == "density"
        else f"Made by {described['made_by']}. The score says {described['score']}.",
        "",
        f"Scores {verdict}: {described['verdict']}",
        "",
        "## Files",
        "",
        *files,
        "- `columns.json`: names, kinds, categories and ranges of the columns, in the order in "
        "which the programs take them; the verdict; how many rows a program should get at once.",
        "- `score.py`: reads rows and scores them.",
        "",
        "## Use",
        _USE,
        "A cell that is empty, or one of `missing`, becomes NaN. A category is its position among "
        "`categories`, -1 if "
        "it is not among them; a date is its seconds since 1970-01-01 UTC; columns that are "
        "ignored may hold anything.",
        "",
        "## Not in here",
        "",
        *(f"- {sentence}" for sentence in described["not_exported"]),
    ]
    return "\n".join(lines) + "\n"
