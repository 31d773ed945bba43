//! `pipectl-generator DIRECTORY` writes the committed data; with `--check` it only compares. `--reviews known|held-out|blind SEED
//! COUNT` prints labelled reviews, which the sentiment model learns from (`models/zoo/sentiment`).

use pipectl_generator::{
    files,
    reviews::{self, Source},
};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Files differ under `--check`, or could not be read or written.
const FAILED: u8 = 1;
/// The arguments make no sense.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--check", directory] => check(Path::new(directory)),
        [directory] if !directory.starts_with('-') => write(Path::new(directory)),
        ["--reviews", source, seed, count] => labelled(source, seed, count),
        _ => usage(),
    };
    done.unwrap_or_else(|error| {
        // Nobody is left to tell when standard error is closed too.
        drop(writeln!(io::stderr(), "error: {error}"));
        ExitCode::from(FAILED)
    })
}

fn usage() -> io::Result<ExitCode> {
    let usage = "usage: pipectl-generator [--check] DIRECTORY\n       pipectl-generator --reviews known|held-out|blind SEED COUNT";
    writeln!(io::stderr(), "{usage}").map(|()| ExitCode::from(USAGE))
}

fn labelled(source: &str, seed: &str, count: &str) -> io::Result<ExitCode> {
    let source = match source {
        "known" => Source::Known,
        "held-out" => Source::HeldOut,
        "blind" => Source::Blind,
        _ => return usage(),
    };
    let (Ok(seed), Ok(count)) = (seed.parse(), count.parse()) else {
        return usage();
    };
    io::stdout().write_all(reviews::labelled(seed, source, count).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn write(directory: &Path) -> io::Result<ExitCode> {
    for path in files::write(directory)? {
        writeln!(io::stdout(), "{}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check(directory: &Path) -> io::Result<ExitCode> {
    let differing = files::differing(directory)?;
    for path in &differing {
        writeln!(
            io::stderr(),
            "differs from what the generator writes: {}",
            path.display()
        )?;
    }
    Ok(if differing.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}
