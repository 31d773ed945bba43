//! The program's own log: to stderr, above the progress bars.

use std::io::{self, Write};

use pipectl_engine::env::Env;
use tracing_subscriber::{
    EnvFilter,
    fmt::{MakeWriter, format::FmtSpan},
};

use crate::{
    arguments::{Global, LogFormat},
    output::Output,
};

/// Starts the log. `PIPECTL_LOG` says what is logged, else `-v` and `-q` do. A service says more, and when.
pub(crate) fn start(global: &Global, env: &Env, output: &Output, service: bool) {
    // What becomes of a broken connection to a database, whoever uses it says.
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) if !service => "warn,sqlx=error",
        (false, 0 | 1) => "warn,sqlx=error,pipectl=info",
        (false, 2) => "info,pipectl=debug",
        (false, _) => "debug,pipectl=trace",
    };
    let filter = match env.get("PIPECTL_LOG").map(EnvFilter::try_new) {
        Some(Ok(filter)) => filter,
        Some(Err(error)) => {
            output.warning(format_args!(
                "PIPECTL_LOG is not understood and left out: {error}"
            ));
            EnvFilter::new(level)
        }
        None => EnvFilter::new(level),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(output.err.has_colour())
        .with_writer(AboveBars(output.clone()));
    let started = match global.log_format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text if service => builder.with_target(global.verbose > 1).try_init(),
        LogFormat::Text => builder
            .with_target(global.verbose > 1)
            .without_time()
            .try_init(),
    };
    if let Err(error) = started {
        output.warning(format_args!("cannot start the log: {error}"));
    }
}

/// Writes whole lines above the progress bars.
#[derive(Clone)]
struct AboveBars(Output);

struct Line<'a> {
    output: &'a Output,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for AboveBars {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            output: &self.0,
            text: Vec::new(),
        }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        if !text.is_empty() {
            self.output.stderr(text.trim_end());
        }
    }
}
