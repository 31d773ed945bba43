"""Texts by a network of MiniLM's size: pipectl in both rooms beside the usual Python loop.

    minilm.py DIRECTORY                  # once, see there
    text.py DIRECTORY                    # runs everything, by turns, and prints the table

The loop is what people write: batches of 32 in the order in which the texts come, padded to the longest, run by
onnxruntime with its own number of threads. Its tokenizer is the fast one. Times are those of the work (model loaded, texts
classified), measured inside each program; CPU seconds are those of the whole process, with start and imports.
"""

import argparse
import csv
import json
import os
import pathlib
import random
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "data"))

from measure import measured, pipectl

LOOP = """
import csv, json, sys, time
import numpy, onnxruntime
from tokenizers import Tokenizer
directory, source, target = sys.argv[1:]
with open(source, newline="") as file:
    texts = [row["text"] for row in csv.DictReader(file)]
start = time.perf_counter()
tokenizer = Tokenizer.from_file(directory + "/tokenizer.json")
tokenizer.enable_truncation(512)
tokenizer.enable_padding(pad_id=0)
session = onnxruntime.InferenceSession(directory + "/model.onnx", providers=["CPUExecutionProvider"])
labels, scores = [], []
for first in range(0, len(texts), 32):
    encoded = tokenizer.encode_batch(texts[first:first + 32])
    ids = numpy.array([one.ids for one in encoded], dtype=numpy.int64)
    mask = numpy.array([one.attention_mask for one in encoded], dtype=numpy.int64)
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
    (logits,) = session.run(["logits"], given)
    powers = numpy.exp(logits - logits.max(1, keepdims=True))
    scores += (powers / powers.sum(1, keepdims=True))[:, 1].tolist()
    labels += logits.argmax(1).tolist()
print(time.perf_counter() - start)
with open(target, "w") as file:
    json.dump({"labels": [["negative", "positive"][label] for label in labels], "scores": scores}, file)
"""

WORDS = (
    "the lamp is great and I like it but battery cable of this phone was not what my sister expected after two months "
    "because delivery took long terrible quality broken excellent design money waste perfect again never always kitchen"
).split()


LENGTHS = {
    # Reviews: most are short, a few fill several pages.
    "skewed": lambda chance: min(350, max(3, int(chance.lognormvariate(3.4, 0.9)))),
    # Every length from a few words to a long paragraph equally often.
    "even": lambda chance: chance.randint(5, 120),
    # Nothing to gain by sorting.
    "equal": lambda chance: 50,
}


def texts(count, lengths, seed=5):
    chance = random.Random(seed)
    for _ in range(count):
        yield " ".join(chance.choice(WORDS) for _ in range(LENGTHS[lengths](chance))) + "."


def project_of(directory, room, model):
    project = directory / (room or "found")
    (project / "pipelines").mkdir(parents=True)
    (project / "pipectl.yaml").write_text("onnxruntime: none\n" if room == "none" else "{}\n")
    (project / "pipelines/text.yaml").write_text(f"""
name: text
tasks:
  texts:
    extract: csv
    with: {{path: {directory}/texts.csv}}
  labels:
    predict: text
    from: texts
    with: {{column: text, model: {model}}}
  saved:
    load: csv
    from: labels
    with: {{path: out.csv}}
""")
    return project


def ours(project, library):
    cost = measured(
        [pipectl(), "run", "text", "--format", "json"],
        cwd=project,
        env={"ORT_DYLIB_PATH": library} if library else {"VIRTUAL_ENV": "", "ORT_DYLIB_PATH": ""},
    )
    task = json.loads(cost.output)["tasks"]["labels"]
    with open(project / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    work = seconds(task["ended"]) - seconds(task["started"])
    return work, cost.cpu, [row["prediction"] for row in rows], [float(row["probability"]) for row in rows]


def seconds(instant):
    import datetime

    return datetime.datetime.fromisoformat(instant.replace("Z", "+00:00")).timestamp()


def loop(directory, model):
    target = directory / "loop.json"
    cost = measured([sys.executable, "-c", LOOP, model, directory / "texts.csv", target])
    found = json.loads(target.read_text())
    return float(cost.output), cost.cpu, found["labels"], found["scores"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=pathlib.Path)
    arguments.add_argument("--texts", type=int, default=1_000)
    arguments.add_argument("--times", type=int, default=5)
    arguments.add_argument("--lengths", choices=LENGTHS, default="even")
    options = arguments.parse_args()
    import glob

    import onnxruntime

    library = glob.glob(os.path.join(os.path.dirname(onnxruntime.__file__), "capi", "libonnxruntime.*"))[0]
    model = str(options.model.resolve())
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        with open(directory / "texts.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["text"])
            table.writerows([text] for text in texts(options.texts, options.lengths))
        found, embedded = project_of(directory, None, model), project_of(directory, "none", model)
        who = {
            "pipectl, ONNX Runtime": lambda: ours(found, library),
            "pipectl, rten": lambda: ours(embedded, None),
            "Python loop": lambda: loop(directory, model),
        }
        rounds = [{name: run() for name, run in who.items()} for _ in range(options.times)]
    print(f"{options.texts} texts, lengths {options.lengths}, {options.times} rounds by turns, medians; ratios are medians of the rounds' ratios")
    print("| | work s | loop ÷ this | CPU s | loop ÷ this | same labels | largest difference |")
    print("|---|---:|---:|---:|---:|---|---:|")
    for name in who:
        def ratio(place):
            return statistics.median(one["Python loop"][place] / one[name][place] for one in rounds)

        def middle(place):
            return statistics.median(one[name][place] for one in rounds)

        last, base = rounds[-1][name], rounds[-1]["Python loop"]
        same = sum(one == other for one, other in zip(last[2], base[2]))
        largest = max(abs(one - other) for one, other in zip(last[3], base[3]))
        print(
            f"| {name} | {middle(0):.2f} | {ratio(0):.2f} | {middle(1):.2f} | {ratio(1):.2f} "
            f"| {same} of {len(base[2])} | {largest:.1e} |"
        )
    rooms = statistics.median(one["pipectl, ONNX Runtime"][0] / one["pipectl, rten"][0] for one in rounds)
    print(f"rten is {rooms:.2f} × as fast as ONNX Runtime")


if __name__ == "__main__":
    main()
