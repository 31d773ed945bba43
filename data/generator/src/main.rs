//! `pipectl-generator DIRECTORY` writes the committed data; with `--check` it only compares.

use pipectl_generator::files;
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
        _ => writeln!(io::stderr(), "usage: pipectl-generator [--check] DIRECTORY")
            .map(|()| ExitCode::from(USAGE)),
    };
    done.unwrap_or_else(|error| {
        // Nobody is left to tell when standard error is closed too.
        drop(writeln!(io::stderr(), "error: {error}"));
        ExitCode::from(FAILED)
    })
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
