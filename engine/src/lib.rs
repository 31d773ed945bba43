//! What a pipeline is, what a run is, how it advances.
