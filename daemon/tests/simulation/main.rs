//! A deterministic simulation: several daemons with the real runner, dispatcher, heart and scheduler over one history in
//! memory. Time is virtual, and what goes wrong is decided by a seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod chance;
mod check;
mod connection;
mod process;
mod scenario;
mod witness;
mod world;

use std::time::{Duration, Instant};

use pipectl_engine::failpoint::Mistake;

use crate::{
    scenario::{Planted, simulate},
    witness::Broken,
};

/// How many simulations there are in an ordinary test.
const USUAL: u64 = 200;
/// How many are enough to find a mistake.
const ENOUGH: u64 = 40;

#[test]
fn daemons_keep_their_promises_whatever_happens() {
    let started = Instant::now();
    let (mut simulations, mut runs, mut commits) = (0, 0, 0);
    for seed in seeds() {
        let verdict = simulate(seed, Planted::default());
        assert!(
            verdict.complaints.is_empty(),
            "seed {seed}:\n  {}\nonly this one: PIPECTL_SEED={seed} cargo test --release --workspace --test simulation daemons_keep",
            verdict.complaints.join("\n  ")
        );
        simulations += 1;
        runs += verdict.runs.len();
        commits += verdict.commits;
    }
    println!(
        "{simulations} simulations, {runs} runs, {commits} writes in {:?}",
        started.elapsed()
    );
}

/// Else the seed of a failure would be of no use.
#[test]
fn a_seed_decides_all() {
    for seed in 0..20 {
        let [one, other] = [0, 1].map(|_| simulate(seed, Planted::default()));
        assert_eq!(one.commits, other.commits, "seed {seed}");
        assert_eq!(
            format!("{:#?}", one.runs),
            format!("{:#?}", other.runs),
            "seed {seed}"
        );
    }
}

fn seeds() -> Box<dyn Iterator<Item = u64>> {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text: String| text.parse::<u64>().ok())
    };
    if let Some(seed) = number("PIPECTL_SEED") {
        return Box::new(std::iter::once(seed));
    }
    if number("PIPECTL_SOAK").is_some_and(|soak| soak > 0) {
        let started = Instant::now();
        return Box::new((0..).take_while(move |_| started.elapsed() < Duration::from_secs(600)));
    }
    Box::new(0..USUAL)
}

/// The first seed whose simulation complains, and what it says.
fn found(planted: Planted) -> (u64, Vec<String>) {
    (0..ENOUGH)
        .map(|seed| (seed, simulate(seed, planted).complaints))
        .find(|(_, complaints)| !complaints.is_empty())
        .expect("the simulation finds the mistake")
}

#[track_caller]
fn finds(planted: Planted, wanted: &str) {
    let (seed, complaints) = found(planted);
    println!("seed {seed}: {complaints:#?}");
    assert!(
        complaints
            .iter()
            .any(|complaint| complaint.contains(wanted)),
        "seed {seed}: {complaints:#?}"
    );
}

fn store(broken: Broken) -> Planted {
    Planted {
        store: Some(broken),
        ..Planted::default()
    }
}

fn engine(mistake: Mistake) -> Planted {
    Planted {
        engine: Some(mistake),
        ..Planted::default()
    }
}

#[test]
fn finds_a_lost_fencing_check() {
    finds(store(Broken::Fence), "which does not own the run");
}

#[test]
fn finds_a_double_claim() {
    finds(store(Broken::Claim), "which does not own the run");
}

#[test]
fn finds_a_forgotten_outbox_row() {
    finds(store(Broken::Mail), "0 mails say so");
}

#[test]
fn finds_a_missed_counter() {
    finds(engine(Mistake::MissedCounter), "never ended");
}

#[test]
fn finds_a_swallowed_retry() {
    finds(engine(Mistake::SwallowedRetry), "never ended");
}
