//! The tests' S3 server as a program, for benchmarks. Its first line of output is the address of a bucket as a connection has
//! it; it ends with its standard input.

#![allow(clippy::print_stdout, reason = "its address is what it says")]

use std::io::Read as _;

use pipectl_test_support::TestS3;

fn main() {
    let server = TestS3::start();
    println!("{}", server.bucket().address());
    // An end that cannot be read is one, too.
    let _ended = std::io::stdin().read_to_end(&mut Vec::new());
}
