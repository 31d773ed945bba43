//! Features, estimators, ONNX, inference, metrics and drift.
