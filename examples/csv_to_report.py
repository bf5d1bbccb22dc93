"""From a CSV file to a model, a detector and a report: the command line, called from a script."""

import subprocess
import sys
from pathlib import Path

from sklearn.datasets import load_wine

effort = "quick" if "--small" in sys.argv else "normal"
frame = load_wine(as_frame=True).frame.rename(columns={"target": "cultivar"})
frame["cultivar"] = "cultivar " + frame["cultivar"].astype(str)
frame.to_csv("wine.csv", index=False)

harmonium = [sys.executable, "-m", "harmonium"]
subprocess.run(
    [*harmonium, "fit", "wine.csv", "-o", "wine-run", "--effort", effort, "--overwrite"], check=True
)
for file in sorted(Path("wine-run").iterdir()):
    print(file)
print("Open wine-run/report.html in a browser.")
