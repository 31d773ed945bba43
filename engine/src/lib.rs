//! What a pipeline is, what a run is, how it advances.
//!
//! The rooms, from top to bottom; each uses only what stands below it:
//!
//! | room | what it holds |
//! |---|---|
//! | [`runner`] | tokio: attempts, cancellation, one run's loop |
//! | [`scheduler`] | pure: what may start now |
//! | [`store`] | traits of the history, the registry and the outbox; the in-memory store; the conformance suite |
//! | [`plan`] | the checked pipeline as a petgraph graph |
//! | [`operator`] | the contract of an operator and the registry of operators |
//! | [`spec`] | the authored file: YAML with places, diagnostics, expressions |
//! | [`trigger`] | cron and intervals, pure |
//! | [`dataset`], [`state`], [`event`] | tables between tasks, states, what happened |
//! | [`id`], [`time`], [`env`], [`project`] | identities and the doors to the outside |

pub mod connection;
pub mod dataset;
pub mod env;
pub mod event;
pub mod id;
pub mod operator;
pub mod plan;
pub mod project;
pub mod runner;
pub mod scheduler;
pub mod secret;
pub mod services;
pub mod spec;
pub mod state;
pub mod store;
pub mod time;
pub mod trigger;
