"""Time and memory of one PyOD detector with its defaults; run by the peers' python.

`python pyod_rates.py DETECTOR TRAIN.npy` fits, then answers requests, one JSON object {"table":
path} per line of its standard input, by one JSON object per line of its standard output: seconds
and MB of scoring that table.
"""

import importlib
import sys

import numpy as np
from peak_memory import cost_of
from served import Answer, serve

DETECTORS = {
    "ecod": "ECOD",
    "copod": "COPOD",
    "hbos": "HBOS",
    "inne": "INNE",
    "cblof": "CBLOF",
    "iforest": "IForest",
    "knn": "KNN",
    "lof": "LOF",
}


def main() -> None:
    """Fit, then answer until there are no more requests."""
    name, train = sys.argv[1:]
    detector = getattr(importlib.import_module(f"pyod.models.{name}"), DETECTORS[name])()
    detector.fit(np.load(train))

    def answer(request: Answer) -> Answer:
        rows = np.load(request["table"])
        return cost_of(lambda: detector.decision_function(rows))._asdict()

    serve(answer)


if __name__ == "__main__":
    main()
