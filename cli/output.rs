//! The only place that prints: data on stdout, everything else on stderr.

use std::{
    fmt::Display,
    io::{IsTerminal, Write},
};

use anstyle::{AnsiColor, Style};
use chrono::SecondsFormat;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pipectl_engine::{
    env::Env,
    time::{Clock as _, SystemClock},
};
use serde::Serialize;
use serde_json::json;

use crate::{
    arguments::{Colour, Global, LogFormat},
    exit::{Exit, one_line, verdict},
};

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
pub(crate) const RED: Style = AnsiColor::Red.on_default();
pub(crate) const RED_BOLD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();

/// A place to print to, with or without colours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Painter {
    colour: bool,
    /// Whether a person looks at it: lines should not be longer than theirs.
    terminal: bool,
}

impl Painter {
    /// A painter without colours.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self {
        colour: false,
        terminal: false,
    };

    /// Whether a person looks at it on a terminal.
    pub(crate) fn is_terminal(self) -> bool {
        self.terminal
    }

    /// Whether there are colours.
    pub(crate) fn has_colour(self) -> bool {
        self.colour
    }

    /// `text` as one line, on a terminal cut to so many characters.
    pub(crate) fn one_line(self, text: &str, most: usize) -> String {
        if !self.terminal {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            return lines.collect::<Vec<_>>().join(" ");
        }
        let line = text.lines().next().unwrap_or_default();
        if line.chars().count() <= most {
            return line.to_owned();
        }
        let mut short: String = line.chars().take(most - 1).collect();
        short.push('…');
        short
    }

    /// `text` in `style`, when there are colours.
    pub(crate) fn paint(self, style: Style, text: impl Display) -> String {
        if self.colour {
            format!("{}{text}{}", style.render(), style.render_reset())
        } else {
            text.to_string()
        }
    }
}

/// Where results and everything else go.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// How stdout is painted.
    pub(crate) out: Painter,
    /// How stderr is painted.
    pub(crate) err: Painter,
    quiet: bool,
    live: bool,
    /// Whether warnings and errors are lines of a log that programs read.
    log: bool,
    bars: MultiProgress,
}

impl Output {
    pub(crate) fn new(global: &Global, env: &Env) -> Self {
        let (out, err) = (
            std::io::stdout().is_terminal(),
            std::io::stderr().is_terminal(),
        );
        let dumb = env.get("TERM") == Some("dumb");
        let wanted = |terminal: bool| match global.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && env.get("NO_COLOR").is_none() && !dumb,
        };
        Self {
            out: Painter {
                colour: wanted(out),
                terminal: out,
            },
            err: Painter {
                colour: wanted(err),
                terminal: err,
            },
            quiet: global.quiet,
            live: err && !dumb && !global.quiet,
            log: global.log_format == LogFormat::Json,
            bars: MultiProgress::new(),
        }
    }

    /// Whether stderr is a terminal on which lines can be drawn over.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// The progress bars, above which all other lines of stderr go.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// A line that is drawn over as things go on; nothing where nobody could see that.
    pub(crate) fn live_line(&self) -> LiveLine {
        let bar = self.live.then(|| self.bars.add(ProgressBar::no_length()));
        if let Some(bar) = &bar
            && let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}")
        {
            bar.set_style(style);
        }
        LiveLine(bar)
    }

    /// A line of the answer.
    pub(crate) fn line(&self, text: impl Display) {
        self.print(format_args!("{text}\n"));
    }

    /// Text of the answer, as it is.
    pub(crate) fn print(&self, text: impl Display) {
        self.bars.suspend(|| {
            let mut stdout = std::io::stdout().lock();
            // Nobody reads any more (`| head`): that is no failure of ours.
            let _closed = write!(stdout, "{text}").and_then(|()| stdout.flush());
        });
    }

    /// Bytes of the answer, as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        self.bars.suspend(|| {
            let mut stdout = std::io::stdout().lock();
            // Nobody reads any more (`| head`): that is no failure of ours.
            let _closed = stdout.write_all(bytes).and_then(|()| stdout.flush());
        });
    }

    /// The answer as one JSON document.
    pub(crate) fn json(&self, answer: &impl Serialize) {
        match serde_json::to_string_pretty(answer) {
            Ok(text) => self.line(text),
            Err(error) => self.warning(format_args!("cannot write the answer as JSON: {error}")),
        }
    }

    /// A line beside the answer, which `--quiet` leaves out.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.quiet {
            self.stderr(text);
        }
    }

    /// A warning.
    pub(crate) fn warning(&self, text: impl Display) {
        if self.log {
            return self.stderr(log_line("WARN", &text, None));
        }
        self.stderr(format_args!(
            "{} {text}",
            self.err.paint(YELLOW, "warning:")
        ));
    }

    /// A warning, and what to do about it.
    pub(crate) fn warning_with(&self, text: impl Display, hint: &str) {
        if self.log {
            return self.stderr(log_line("WARN", &text, Some(hint)));
        }
        self.warning(text);
        self.hint(hint);
    }

    /// An error, what to do about it, and how the program ends.
    pub(crate) fn error(&self, error: &anyhow::Error) -> Exit {
        let (exit, hint) = verdict(error);
        if self.log {
            self.stderr(log_line("ERROR", &one_line(error), hint));
            return exit;
        }
        self.stderr(format_args!(
            "{} {}",
            self.err.paint(RED_BOLD, "error:"),
            one_line(error)
        ));
        if let Some(hint) = hint {
            self.hint(hint);
        }
        exit
    }

    /// What to do.
    pub(crate) fn hint(&self, text: impl Display) {
        self.stderr(format_args!("{} {text}", self.err.paint(CYAN, "hint:")));
    }

    /// A line of stderr.
    pub(crate) fn stderr(&self, text: impl Display) {
        self.bars.suspend(|| {
            // When stderr is closed there is nobody to tell.
            let _closed = writeln!(std::io::stderr().lock(), "{text}");
        });
    }
}

/// A line of the log as `--log-format json` writes it.
fn log_line(level: &str, text: &dyn Display, hint: Option<&str>) -> String {
    let mut fields = serde_json::Map::new();
    fields.insert("message".to_owned(), text.to_string().into());
    if let Some(hint) = hint {
        fields.insert("hint".to_owned(), hint.into());
    }
    let now = SystemClock
        .now()
        .to_rfc3339_opts(SecondsFormat::Micros, true);
    json!({"timestamp": now, "level": level, "fields": fields, "target": "pipectl"}).to_string()
}

/// A line that is drawn over as things go on.
#[derive(Debug)]
pub(crate) struct LiveLine(Option<ProgressBar>);

impl LiveLine {
    pub(crate) fn set(&self, text: impl Into<String>) {
        if let Some(bar) = &self.0 {
            bar.set_message(text.into());
            bar.tick();
        }
    }

    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// So many of a thing, in words: `1 run`, `2 runs`.
pub(crate) fn many(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// Prints what clap has to say: help and versions to stdout, complaints to stderr.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    // When the stream is closed there is nobody to tell.
    let _closed = error.print();
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_read_is_one_json_document_a_line() {
        let line = log_line("ERROR", &"no\nway", Some("look"));
        assert_eq!(line.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = json!({"message": "no\nway", "hint": "look"});
        assert_eq!(
            (&line["fields"], &line["level"]),
            (&expected, &json!("ERROR"))
        );
    }

    #[test]
    fn lines_are_cut_on_terminals_only() {
        let terminal = Painter {
            terminal: true,
            ..Painter::PLAIN
        };
        let text = "one two\n  three\n";
        assert_eq!(terminal.one_line(text, 7), "one two");
        assert_eq!(terminal.one_line(text, 5), "one …");
        assert_eq!(Painter::PLAIN.one_line(text, 5), "one two three");
    }
}
