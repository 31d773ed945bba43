//! Writes the committed example data, byte for byte from a seed.
