//! The operators, one folder a kind, one file an operator.
