"""Rows drawn under conditions: a category, an interval, and as many rows of every category."""

from sklearn.datasets import load_iris

import harmonium as hm

flowers = load_iris(as_frame=True)
frame = flowers.frame.rename(columns={"target": "species"})
frame["species"] = flowers.target_names[frame["species"]]

estimator = hm.DensityEstimator(effort="quick", random_state=0).fit(frame)
virginica = estimator.sample(5, given={"species": "virginica", "petal length (cm)": (6.0, None)})
print("virginica with petals of at least 6 cm:")
print(virginica.to_string(index=False))

either = estimator.sample(200, given={"species": {"setosa", "versicolor"}})
print("\nonly these two:", sorted(either["species"].unique()))

balanced = estimator.sample(90, balance="species")
print("\nas many of each:", balanced["species"].value_counts().sort_index().to_dict())
