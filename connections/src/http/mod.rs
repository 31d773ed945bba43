//! Speaks to APIs over HTTP: credentials, politeness, patience, and addresses that are not to be called.
//!
//! One client stands for one connection and is shared by all attempts of a process, and so are its rate limit, its
//! number of calls at once and its access token.

mod address;
mod answer;
mod body;
mod call;
mod client;
mod exchange;
mod failure;
mod fetch;
mod patience;
mod settings;
#[cfg(test)]
mod tests;
mod token;
mod turns;

pub use answer::Answer;
pub use call::{Call, Target};
pub use client::HttpClient;
pub use fetch::Fetched;
pub use patience::{Caller, Patience};
pub use turns::{SharedTurns, Turns};
