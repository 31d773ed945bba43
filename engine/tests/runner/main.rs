//! The runner on the in-memory store, with operators that do as they are told.

mod attempts;
mod children;
mod data;
mod mail;
mod resume;
mod support;
