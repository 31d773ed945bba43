//! Asks the linker to fold functions that came out equal: generic code of polars fills a fifth of the binary otherwise.

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells the target by the environment"
)]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Only where Rust brings its own linker, which knows the option.
    let target = std::env::var("TARGET").unwrap_or_default();
    if target == "x86_64-unknown-linux-gnu" {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}
