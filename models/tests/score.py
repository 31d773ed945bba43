"""Scores the rows of a JSON file with Python's onnxruntime: `score.py MODEL ROWS`, answers the label, if there is one, and the numbers behind it."""

import json
import sys

import numpy
import onnxruntime

model, rows = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
columns = json.load(open(rows))
types = {"tensor(double)": numpy.float64, "tensor(int64)": numpy.int64, "tensor(string)": object}
inputs = {}
for port in session.get_inputs():
    values = [numpy.nan if value is None else value for value in columns[port.name]]
    inputs[port.name] = numpy.array(values, dtype=types[port.type]).reshape(-1, 1)
names = [port.name for port in session.get_outputs()]
answers = dict(zip(names, session.run(names, inputs)))
label = answers.pop("label", [])
(values,) = answers.values()
print(json.dumps({"label": [str(value) for value in label], "values": values.ravel().tolist()}))
