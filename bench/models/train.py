"""Training: quality and CPU seconds of pipectl's estimators beside scikit-learn's and LightGBM's, on the same rows.

    pip install scikit-learn lightgbm pyarrow pandas skl2onnx onnxruntime
    cargo build --release -p pipectl -p pipectl-bench-models
    python3 bench/models/train.py                 # everything: hours; `--only`, `--seeds`, `--draws` and `--sets` take less

Peers work in this process with one thread, ours in `pipectl-bench-models` with one thread too (`--threads`); CPU seconds
are user + system time between the call and its return, without reading the rows. Batch scoring compares whole processes.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))

import numpy
from lightgbm import LGBMClassifier
from measure import ROOT, machine, measured, pipectl, project, remove
from sklearn import ensemble, linear_model, metrics, naive_bayes, neighbors, svm, tree
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sets

warnings.filterwarnings("ignore")


def scaled(estimator):
    return make_pipeline(StandardScaler(), estimator)


# Each with the parameters that both sides are given; else both have their defaults.
CLASSIFIERS = {
    "logistic_regression": lambda seed: scaled(linear_model.LogisticRegression()),
    "linear_svm": lambda seed: scaled(svm.LinearSVC(random_state=seed)),
    "gaussian_naive_bayes": lambda seed: naive_bayes.GaussianNB(),
    "k_nearest_neighbors": lambda seed: scaled(neighbors.KNeighborsClassifier()),
    "decision_tree": lambda seed: tree.DecisionTreeClassifier(random_state=seed),
    "random_forest": lambda seed: ensemble.RandomForestClassifier(random_state=seed),
    "extra_trees": lambda seed: ensemble.ExtraTreesClassifier(random_state=seed),
    "gradient_boosting": lambda seed: ensemble.HistGradientBoostingClassifier(random_state=seed, l2_regularization=1.0),
}
REGRESSORS = {
    "linear_regression": lambda seed: scaled(linear_model.LinearRegression()),
    "ridge": lambda seed: scaled(linear_model.Ridge()),
    "lasso": lambda seed: scaled(linear_model.Lasso()),
    "elastic_net": lambda seed: scaled(linear_model.ElasticNet()),
    "k_nearest_neighbors": lambda seed: scaled(neighbors.KNeighborsRegressor()),
    "decision_tree": lambda seed: tree.DecisionTreeRegressor(random_state=seed),
    "random_forest": lambda seed: ensemble.RandomForestRegressor(random_state=seed),
    "extra_trees": lambda seed: ensemble.ExtraTreesRegressor(random_state=seed),
    "gradient_boosting": lambda seed: ensemble.HistGradientBoostingRegressor(random_state=seed, l2_regularization=1.0),
}
# What costs minutes a fit on the large set and says nothing new: distances to 200,000 rows.
LEFT_OUT = {("fraud", "k_nearest_neighbors")}


class Ours:
    """The program that fits our estimators, asked line by line."""

    def __init__(self, directory, threads):
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        program = target / "release" / "pipectl-bench-models"
        self.directory = directory
        self.child = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "RAYON_NUM_THREADS": str(threads), "POLARS_MAX_THREADS": str(threads)},
        )

    def ask(self, what, train, test, candidates, *, goal="classes", seed=0, metric=None, out="answers"):
        job = {
            "what": what, "train": self.kept("train", train), "test": self.kept("test", test), "goal": goal, "target": "y",
            "candidates": candidates, "seed": seed, "metric": metric, "out": str(self.directory / out),
        }  # fmt: skip
        self.child.stdin.write(json.dumps(job) + "\n")
        self.child.stdin.flush()
        answer = json.loads(self.child.stdout.readline() or '{"error": "it has ended"}')
        if "error" in answer:
            raise SystemExit(f"{candidates}: {answer['error']}")
        return answer

    def kept(self, name, rows):
        path = self.directory / f"{name}.parquet"
        if rows is not None:
            rows.to_parquet(path, index=False)
        return str(path)

    def answers(self, width):
        found = numpy.fromfile(self.directory / "answers", dtype="<f8")
        return found.reshape(-1, width) if width > 1 else found


def values(rows):
    return rows.drop(columns="y").to_numpy()


def cpu(work):
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def probabilities(model, rows):
    if hasattr(model, "predict_proba"):
        return model.predict_proba(rows)
    scores = model.decision_function(rows)
    return numpy.column_stack([-scores, scores]) if scores.ndim == 1 else scores


def score(kind, truth, answers):
    if kind == "numbers":
        return metrics.r2_score(truth, answers)
    if kind == "fraud":
        return metrics.roc_auc_score(truth, answers[:, 1])
    return float((answers.argmax(1) == truth).mean())


def median(found):
    return statistics.median(found)


MISSED = []


def bar(reached, name):
    if not reached:
        MISSED.append(name)
    return "✓" if reached else "✕"


def quality(ours, seeds, chosen):
    """Mean scores over seeds; the bar is 0.005 below scikit-learn's."""
    print(f"\n| set, measure, {seeds} seeds | estimator | pipectl | scikit-learn | difference | |")
    print("|---|---|---:|---:|---:|---|")
    for name in [name for name in [*sets.CLASSES, *sets.NUMBERS] if chosen is None or name in chosen]:
        numbers = name in sets.NUMBERS
        kind = "numbers" if numbers else "fraud" if name == "fraud" else "classes"
        for estimator, make in (REGRESSORS if numbers else CLASSIFIERS).items():
            if (name, estimator) in LEFT_OUT:
                continue
            own, other = [], []
            for seed in range(seeds):
                train, test = sets.split(name, seed)
                peer = make(seed).fit(values(train), train["y"])
                answers = peer.predict(values(test)) if numbers else probabilities(peer, values(test))
                other.append(score(kind, test["y"], answers))
                goal = "quantity" if numbers else "classes"
                ours.ask("fit", train, test, {estimator: {}}, goal=goal, seed=seed)
                width = 1 if numbers else train["y"].nunique()
                own.append(score(kind, test["y"], ours.answers(width)))
            ahead = statistics.mean(own) - statistics.mean(other)
            measure = {"numbers": "R²", "fraud": "ROC AUC", "classes": "accuracy"}[kind]
            mark = bar(ahead >= -0.005, f"quality {name} {estimator}")
            print(f"| {name}, {measure} | {estimator} | {statistics.mean(own):.4f} | {statistics.mean(other):.4f} | {ahead:+.4f} | {mark} |", flush=True)


def pace(title, wanted, pairs):
    """A line: ratios of the peer's CPU seconds to ours over the draws; the median counts."""
    ratios = [other / own for own, other in pairs]
    reached = bar(median(ratios) >= wanted, title)
    own, other = (median([pair[place] for pair in pairs]) for place in (0, 1))
    spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
    print(f"| {title} | {own:.3f} | {other:.3f} | {median(ratios):.2f} × ({spread}) | ≥ {wanted} × | {reached} |", flush=True)


HEAD = "| | pipectl CPU s | peer CPU s | peer ÷ pipectl | bar | |\n|---|---:|---:|---:|---:|---|"


def speed(ours, draws):
    print(f"\n{draws} draws of the data, medians\n\n{HEAD}")
    cases = [
        ("logistic regression, fraud", sets.fraud, "logistic_regression", 1.5),
        ("tree, fraud", sets.fraud, "decision_tree", 8),
        ("tree, noisy 80 k × 20", sets.noisy, "decision_tree", 8),
        ("forest of 100, noisy 80 k × 20", sets.noisy, "random_forest", 8),
        ("forest of 100, fraud", sets.fraud, "random_forest", 50),
    ]
    for title, draw, estimator, wanted in cases:
        pairs, predicting = [], []
        for seed in range(draws):
            train, test = sets.parted(draw(seed), seed)
            peer = CLASSIFIERS[estimator](seed)
            _, other = cpu(lambda: peer.fit(values(train), train["y"]))
            found = ours.ask("fit", train, draw(seed + 100)[:100_000] if draw is sets.fraud else test, {estimator: {}}, seed=seed)
            pairs.append((found["fit"], other))
            if estimator == "random_forest" and draw is sets.fraud:
                rows = values(draw(seed + 100)[:100_000])
                predicting.append((found["predict"], cpu(lambda: peer.predict_proba(rows))[1]))
        pace(title, wanted, pairs)
        if predicting:
            pace("that forest predicts 100 k rows", 1, predicting)


BOOSTING = {"learning_rate": 0.05, "max_iter": 200, "max_leaf_nodes": 15, "l2_regularization": 1.0, "early_stopping": False}


def digits(seed):
    return sets.CLASSES["digits"](seed)


def boosting(ours, draws):
    print(f"\n200 rounds at 0.05 with 15 leaves, L2 1, {draws} draws\n")
    print("| | pipectl CPU s, score | HistGradientBoosting | LightGBM | speed | quality |\n|---|---:|---:|---:|---|---|")
    for title, draw in (("fraud", sets.fraud), ("noisy 80 k × 20", sets.noisy), ("digits", digits)):
        kind = "fraud" if title == "fraud" else "classes"
        costs, scores = [], []
        for seed in range(draws):
            train, test = sets.parted(draw(seed), seed)
            peers = [
                ensemble.HistGradientBoostingClassifier(**BOOSTING, random_state=seed),
                LGBMClassifier(learning_rate=0.05, n_estimators=200, num_leaves=15, reg_lambda=1.0, n_jobs=1, verbose=-1, seed=seed),
            ]
            found = ours.ask("fit", train, test, {"gradient_boosting": BOOSTING}, seed=seed)
            cost, reached = [found["fit"]], [score(kind, test["y"], ours.answers(train["y"].nunique()))]
            for peer in peers:
                cost.append(cpu(lambda: peer.fit(values(train), train["y"]))[1])
                reached.append(score(kind, test["y"], peer.predict_proba(values(test))))
            costs.append(cost)
            scores.append(reached)
        hist, light = (median([cost[place] / cost[0] for cost in costs]) for place in (1, 2))
        own, *others = (statistics.mean(found[place] for found in scores) for place in range(3))
        times = [median([cost[place] for cost in costs]) for place in range(3)]
        fast = bar(hist >= 1.3 and light >= 1.0, f"boosting speed {title}")
        good = bar(own >= max(others) - 0.005, f"boosting quality {title}")
        print(
            f"| {title} | {times[0]:.2f}, {own:.4f} | {times[1]:.2f}, {others[0]:.4f} | {times[2]:.2f}, {others[1]:.4f} "
            f"| {hist:.2f} × and {light:.2f} × {fast} | {own - max(others):+.4f} {good} |",
            flush=True,
        )


def grid(ours, draws):
    print(f"\n{HEAD}")
    lists = {"max_depth": [6, 10, None], "min_samples_leaf": [1, 5], "max_features": ["sqrt", "log2"]}
    pairs = []
    for seed in range(draws):
        rows = sets.noisy(seed, 30_000)
        found = ours.ask("search", rows, None, {"random_forest": {"n_estimators": 100, **lists}}, seed=seed, metric="accuracy", out="grid.onnx")
        search = GridSearchCV(ensemble.RandomForestClassifier(random_state=seed), lists, cv=StratifiedKFold(5))
        _, other = cpu(lambda: search.fit(values(rows), rows["y"]))
        print(f"  best {found['best']:.4f} and {search.best_score_:.4f}", file=sys.stderr)
        pairs.append((found["fit"], other))
    pace("grid search, 5 folds × 12 forests of 100, 30 k × 20", 12, pairs)


PIPELINE = """
name: score
tasks:
  rows: {extract: parquet, with: {path: rows.parquet}, persist: false}
  scores: {predict: model, from: rows, with: {model: model.onnx}}
  kept: {load: parquet, from: scores, with: {path: scores.parquet}}
"""
PEER = """
import joblib, pandas
model = joblib.load("model.joblib")
rows = pandas.read_parquet("rows.parquet")
found = model.predict_proba(rows.to_numpy())
rows["prediction"] = found.argmax(1)
rows["probability"] = found[:, 1]
rows.to_parquet("scores.parquet", index=False)
"""


def scoring(ours, times):
    import joblib

    print(f"\n{HEAD}")
    rows = sets.noisy(0)
    test = sets.noisy(1, 1_000_000).drop(columns="y")
    singles = []
    for estimator, title in (("logistic_regression", "logistic regression"), ("random_forest", "forest of 100")):
        root = project({"pipelines/score.yaml": PIPELINE})
        try:
            ours.ask("search", rows, None, {estimator: {}}, out="model.onnx")
            found = ours.ask("rows", None, test[:20_000], {estimator: {}}, out="model.onnx")
            singles.append((title, found["microseconds"]))
            (root / "model.onnx").write_bytes((ours.directory / "model.onnx").read_bytes())
            joblib.dump(CLASSIFIERS[estimator](0).fit(values(rows), rows["y"]), root / "model.joblib")
            test.to_parquet(root / "rows.parquet", index=False)
            pairs = []
            for _ in range(times):
                own = measured([pipectl(), "run", "score"], cwd=root)
                other = measured([sys.executable, "-c", PEER], cwd=root)
                pairs.append((own.cpu, other.cpu))
            pace(f"batch, 1 M × 20, {title}", 10, pairs)
        finally:
            remove(root)
    for (title, found), wanted in zip(singles, (4, 8)):
        print(f"\nOne row, named columns in, probability out, {title}: {found:.2f} µs, bar {wanted} {bar(found <= wanted, f'one row {title}')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=["quality", "speed", "boosting", "grid", "scoring"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--sets", action="append", help="of quality: only these")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    parts = {
        "quality": lambda ours: quality(ours, given.seeds, given.sets),
        "speed": lambda ours: speed(ours, given.draws),
        "boosting": lambda ours: boosting(ours, given.draws),
        "grid": lambda ours: grid(ours, given.draws),
        "scoring": lambda ours: scoring(ours, given.draws),
    }
    with tempfile.TemporaryDirectory() as name:
        ours = Ours(pathlib.Path(name), given.threads)
        try:
            for part in given.only or parts:
                parts[part](ours)
        finally:
            ours.child.stdin.close()
            ours.child.wait()
    print(f"\n{machine()}")
    print("every bar is reached" if not MISSED else f"missed: {', '.join(MISSED)}")


if __name__ == "__main__":
    main()
