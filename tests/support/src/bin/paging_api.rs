//! The tests' paging API as a program, for benchmarks: `paging_api [latency in ms] [records a day] [port]`. Its first line
//! of output is its address.

#![allow(clippy::print_stdout, reason = "its address is what it says")]

use std::time::Duration;

use pipectl_test_support::{ApiOptions, TestApi};

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u16>().unwrap_or(0));
    let api = TestApi::with(ApiOptions {
        latency: Duration::from_millis(numbers.next().unwrap_or(5).into()),
        records_per_day: numbers.next().unwrap_or(50).into(),
        port: numbers.next().unwrap_or(0),
        ..ApiOptions::default()
    });
    println!("{}", api.url());
    api.wait();
}
