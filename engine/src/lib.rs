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
//! | [`preview`] | what is in a dataset, for people |
//! | [`dataset`], [`artifact`], [`model`] | tables, files and models between tasks |
//! | [`state`], [`event`], [`alert`] | states, what happened, who hears of it by mail |
//! | [`id`], [`time`], [`env`](mod@env), [`secret`], [`connection`], [`address`], [`services`], [`slot`], [`retention`], [`failure`], [`failpoint`], [`random`] | identities, the doors to the outside, small shared things |

pub mod address;
pub mod alert;
pub mod artifact;
pub mod connection;
pub mod dataset;
pub mod env;
pub mod event;
pub mod failpoint;
pub mod failure;
pub mod id;
pub mod kind;
pub mod model;
pub mod operator;
pub mod plan;
pub mod preview;
pub mod project;
pub mod random;
pub mod retention;
pub mod runner;
pub mod scheduler;
pub mod secret;
pub mod services;
pub mod size;
pub mod slot;
pub mod spec;
pub mod state;
pub mod store;
pub mod time;
pub mod trigger;
