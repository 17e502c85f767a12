"""Classifiers of cropped cells: known ones of scikit-learn, which see features, and small networks, which see pictures.

Where a classifier can weigh classes, rare ones weigh as much as common ones. All but the trees and naive Bayes see features that are
standardized.
"""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from detector.baselines.crops import Crops
from detector.baselines.features import table
from detector.baselines.methods import torch_needed
from detector.errors import NothingToDoError, UsageError

FEWEST_CROPS = 5
"""Crops of a class that a classifier learns it from at least."""
_CLUSTERS_PER_CLASS = 8

Features = NDArray[np.float64]
Labels = NDArray[np.int64]


class NamedClusters(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """k-means, each cluster called by the classes of the training crops in it (Lloyd, IEEE Trans. Information Theory 1982; 28:129-137)."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, features: Features, labels: Labels) -> Self:
        """Cluster, and note the share of each class in each cluster."""
        self.classes_, known = np.unique(labels, return_inverse=True)
        number = min(_CLUSTERS_PER_CLASS * len(self.classes_), len(np.unique(features, axis=0)))
        self.clusters_ = KMeans(number, n_init=4, random_state=self.seed).fit(features)
        held = np.zeros((number, len(self.classes_)))
        np.add.at(held, (self.clusters_.labels_, known), 1)
        self.shares_ = held / held.sum(axis=1, keepdims=True)
        return self

    def predict_proba(self, features: Features) -> Features:
        """Shares of the classes in the cluster of each crop, of shape (n, classes)."""
        return np.asarray(self.shares_[self.clusters_.predict(features)])


def _network(kind: str) -> Callable[[int], Any]:
    """A class of `networks` by its name. It is imported when one is made: others need no torch."""

    def make(seed: int) -> Any:
        torch_needed("networks that classify cells")
        from detector.baselines import networks

        return getattr(networks, kind)(seed)

    return make


NETWORKS: dict[str, Callable[[int], Any]] = {
    "CNN by SGD": _network("StochasticDescentCnn"),
    "CNN by Adam": _network("AdamCnn"),
    "depthwise-separable CNN": _network("SeparableCnn"),
    "triplet embedding": _network("TripletEmbedding"),
}
"""Those that see pictures."""
CLASSIFIERS: dict[str, Callable[[int], Any]] = {
    "decision tree": lambda seed: DecisionTreeClassifier(min_samples_leaf=3, class_weight="balanced", random_state=seed),
    "random forest": lambda seed: RandomForestClassifier(200, class_weight="balanced_subsample", random_state=seed, n_jobs=1),
    "support vector machine": lambda seed: make_pipeline(
        StandardScaler(), CalibratedClassifierCV(SVC(C=10, class_weight="balanced", random_state=seed), cv=3, ensemble=False)
    ),
    "logistic regression": lambda seed: make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced", random_state=seed)
    ),
    "k nearest neighbours": lambda _: make_pipeline(StandardScaler(), KNeighborsClassifier(5)),
    "naive Bayes": lambda _: GaussianNB(),
    "k-means": lambda seed: make_pipeline(StandardScaler(), NamedClusters(seed)),
    "multilayer perceptron": lambda seed: make_pipeline(
        StandardScaler(), MLPClassifier((64,), alpha=1e-2, max_iter=400, random_state=seed)
    ),
    **NETWORKS,
}
"""How each is made from a seed, by its name. Sources: Breiman et al., Classification and Regression Trees, 1984; Breiman, Machine Learning
2001; 45:5-32; Cortes and Vapnik, Machine Learning 1995; 20:273-297; Cover and Hart, IEEE Transactions on Information Theory 1967;
13:21-27; Rumelhart et al., Nature 1986; 323:533-536. Those of networks stand with their classes."""


class CropClassifier:
    """One of `CLASSIFIERS` with the features or pictures that it sees."""

    fit_s = 0.0
    """Processor time of the last fit, without measuring features."""

    def __init__(self, name: str, enhanced: bool, seed: int = 0) -> None:
        """A classifier by its name.

        Args:
            enhanced: whether contrast and noise of crops are preprocessed.
        """
        self.name, self.enhanced, self.seed = name, enhanced, seed
        self.unlearnt: tuple[str, ...] = ()
        """Classes of which there were too few crops; none is ever taken for one of these."""

    def fit(self, crops: Crops) -> None:
        """Learn from crops of known classes.

        Raises:
            NothingToDoError: fewer than two classes have enough crops. MissingExtraError: it is a network, and torch is not installed.
        """
        numbers = crops.numbers()
        learnt = [label for label, n in enumerate(numbers.values()) if n >= FEWEST_CROPS]
        if len(learnt) < 2:
            held = ", ".join(f"{n} {name}" for name, n in numbers.items() if n) or "no cell"
            raise NothingToDoError(f"{self.name} needs {FEWEST_CROPS} crops of two classes or more, got {held}")
        self.unlearnt = tuple(name for label, name in enumerate(numbers) if label not in learnt)
        chosen = np.isin(crops.label, learnt)
        self.fit_seen(self._seen(crops)[chosen], crops.label[chosen])

    def _seen(self, crops: Crops) -> Any:
        """Features of shape (n, features), or pictures of shape (n, side, side, 3)."""
        return crops.squares(self.enhanced) if self.name in NETWORKS else crops.features(self.enhanced)

    def fit_seen(self, seen: NDArray[Any], labels: Labels) -> None:
        """Learn from what it sees, features of shape (n, features) or pictures of shape (n, side, side, 3), of two classes or more."""
        self._model = CLASSIFIERS[self.name](self.seed)
        began = time.process_time()
        with warnings.catch_warnings():
            # Some more steps would change hardly a crop.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model.fit(seen, labels)
        self.fit_s = time.process_time() - began

    def size_bytes(self) -> int:
        """How much a fitted classifier takes on disk."""
        return len(pickle.dumps(self._model))

    def classify(self, crops: Crops) -> tuple[Labels, Features]:
        """The label of each crop, of shape (n,), and its probabilities, of shape (n, classes), 0 for classes that were not learnt."""
        if not len(crops):
            return np.zeros(0, dtype=np.int64), np.zeros((0, len(crops.classes)))
        return self.classify_seen(self._seen(crops), len(crops.classes))

    def classify_seen(self, seen: NDArray[Any], classes: int) -> tuple[Labels, Features]:
        """The same from features or pictures of one crop or more."""
        probability = np.zeros((len(seen), classes))
        probability[:, self._model.classes_] = self._model.predict_proba(seen)
        return probability.argmax(axis=1).astype(np.int64), probability


def left_out_by_smear(
    pictures: NDArray[np.uint8], label: NDArray[np.int64], smears: Sequence[str], names: Sequence[str], classes: int, seed: int
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """What each classifier says of the cells whose smear it did not learn from: its name, and probabilities of shape (n, classes).

    Args:
        pictures: of shape (n, h, w, 3); networks see them, others see their features.
        label: of shape (n,).
        smears: of each; each smear is left out in turn.
        names: of `CLASSIFIERS`.

    Raises:
        UsageError: there is no such classifier. MissingExtraError: it is a network, and torch is not installed.
    """
    unknown = [name for name in names if name not in CLASSIFIERS]
    if unknown:
        raise UsageError(f"unknown classifier {unknown[0]!r}; known: {', '.join(CLASSIFIERS)}")
    measured = table(list(pictures), enhanced=False) if set(names) - set(NETWORKS) else np.zeros((0, 0))
    smear = np.asarray(smears)
    for name in names:
        seen = pictures if name in NETWORKS else measured
        probability = np.zeros((len(label), classes))
        for own in (smear == left_out for left_out in np.unique(smear)):
            classifier = CropClassifier(name, enhanced=False, seed=seed)
            classifier.fit_seen(seen[~own], label[~own])
            probability[own] = classifier.classify_seen(seen[own], classes)[1]
        yield name, probability
