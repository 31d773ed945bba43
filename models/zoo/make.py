"""Makes the models `zoo:churn` and `zoo:credit_risk` again: random forests that pipectl learns from generated rows.

    cargo build --release && python3 models/zoo/make.py

Nothing but the standard library. The seeds are fixed: the same version of pipectl writes the same bytes.
"""

import csv
import json
import math
import os
import pathlib
import random
import shutil
import subprocess
import tempfile

ZOO = pathlib.Path(__file__).resolve().parent
ROOT = ZOO.parents[1]
PIPECTL = os.environ.get("PIPECTL") or pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/pipectl"

PIPELINE = """
name: {name}
tasks:
  rows:
    extract: csv
    with: {{path: rows.csv, null_values: ["", " "]}}
  model:
    train: classifier
    from: rows
    with:
      target: {target}
      exclude: [{exclude}]
      candidates:
        random_forest: {{n_estimators: 60, max_depth: 6, min_samples_leaf: 10}}
      metric: roc_auc
      tune_threshold: f1
      path: model.onnx
      seed: 7
"""


def applicants(count, seed):
    """People who ask for a loan, and whether they could not pay it back: by rules that are written here, and chance."""
    draw = random.Random(seed)
    for _ in range(count):
        age = round(min(80, max(18, draw.gauss(41, 13))))
        employed = round(min(age - 17, draw.expovariate(1 / 7)), 1)
        income = round(math.exp(draw.gauss(10.3, 0.5)) * (1 + min(employed, 20) / 40), -2)
        amount = round(math.exp(draw.gauss(9.0, 0.8)), -2)
        months = draw.choice([12, 24, 36, 48, 60, 72])
        purpose = draw.choice(["car", "debt", "furniture", "home", "education", "business"])
        home = draw.choices(["rent", "mortgage", "own"], [5, 3, 2])[0]
        used = round(min(1.2, max(0, draw.gauss(0.45, 0.28))), 2)
        late = min(9, int(draw.expovariate(1.4)))
        share = amount * 12 / months / max(income, 1)
        score = (
            -3.3 + 5.0 * share + 0.55 * late + 1.6 * max(0, used - 0.5) - 0.05 * min(employed, 15)
            + {"business": 0.7, "debt": 0.4}.get(purpose, 0) + (0.3 if home == "rent" else 0) + (0.5 if used > 0.8 and late else 0)
        )  # fmt: skip
        yield {
            "age": age,
            "income": income if draw.random() > 0.04 else "",
            "employed_years": employed if draw.random() > 0.06 else "",
            "amount": amount,
            "months": months,
            "purpose": purpose,
            "home": home,
            "late_payments": late,
            "credit_used": used if draw.random() > 0.03 else "",
            "default": "yes" if draw.random() < 1 / (1 + math.exp(-score)) else "no",
        }


def make(name, target, exclude, rows):
    with tempfile.TemporaryDirectory() as place:
        project = pathlib.Path(place)
        (project / "pipelines").mkdir()
        (project / "pipelines" / f"{name}.yaml").write_text(PIPELINE.format(name=name, target=target, exclude=", ".join(exclude)))
        rows(project / "rows.csv")
        answer = subprocess.run([PIPECTL, "run", name, "--format", "json"], cwd=project, check=True, capture_output=True, text=True)
        shutil.copyfile(project / "model.onnx", ZOO / name / "model.onnx")
        metrics = json.loads(answer.stdout)["tasks"]["model"]["metrics"]
        print(name, (ZOO / name / "model.onnx").stat().st_size, "bytes", json.dumps(metrics))


def credit(path):
    rows = list(applicants(20_000, 11))
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def main():
    make("churn", "Churn", ["customerID"], lambda path: shutil.copyfile(ROOT / "data/churn/history.csv", path))
    make("credit_risk", "default", [], credit)


if __name__ == "__main__":
    main()
