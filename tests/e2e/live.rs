//! What a person at a terminal sees: the run draws itself, on a real pseudo-terminal, read back from an emulated screen.

use std::{fs::File, io::Read, num::NonZeroU16, process::Stdio};

use nix::pty::{Winsize, openpty};

use super::harness::Project;

const SIZE: Winsize = Winsize {
    ws_row: 40,
    ws_col: 110,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

const PIPELINE: &str = "\
name: drawn
tasks:
  first:
    run: shell
    with: {script: sleep 0.4}
  each:
    run: shell
    foreach: {items: [a, b, c], parallel: 1}
    needs: first
    with: {script: sleep 0.4}
  broken:
    run: shell
    needs: first
    with: {script: exit 3}
  behind:
    run: noop
    needs: broken
";

/// Every screen that differed from the one before it, and the exit code.
fn screens(project: &Project, arguments: &[&str]) -> (Vec<String>, Option<i32>) {
    let pty = openpty(&SIZE, None).unwrap();
    let end = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut command = project.command(arguments);
    command.env("TERM", "xterm-256color");
    let mut child = command
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .unwrap();
    drop(command);
    drop(pty.slave);
    let mut terminal = File::from(pty.master);
    let cells = |count| NonZeroU16::new(count).unwrap();
    let mut screen = vt100::Parser::new(cells(SIZE.ws_row), cells(SIZE.ws_col), 0);
    let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
    // The terminal ends with an error when the last one that has it open is gone.
    while let Ok(count @ 1..) = terminal.read(&mut bytes) {
        screen.process(&bytes[..count]);
        let rows = screen.screen().rows(0, SIZE.ws_col);
        let now = rows.collect::<Vec<_>>().join("\n").trim_end().to_owned();
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    }
    (seen, child.wait().unwrap().code())
}

fn line_of<'a>(screen: &'a str, task: &str) -> &'a str {
    let mut lines = screen.lines();
    let line = lines.find(|line| line.split_whitespace().any(|word| word == task));
    line.unwrap_or_default()
}

#[test]
fn a_run_draws_itself_on_a_terminal() {
    let project = Project::with("drawn", PIPELINE);
    let (screens, code) = screens(&project, &["run", "drawn"]);
    let last = screens.last().unwrap();
    assert_eq!(code, Some(1), "{last}");
    let drawn = |what: &str, is: &dyn Fn(&str) -> bool| {
        let some = screens.iter().any(|screen| is(screen));
        assert!(some, "no screen shows {what}:\n{}", screens.join("\n---\n"));
    };
    drawn("all tasks, the first one under way", &|screen| {
        let waits = |task| line_of(screen, task).contains("waiting");
        line_of(screen, "first").contains("◔ running") && waits("each") && waits("behind")
    });
    drawn("two of three elements done, with a bar", &|screen| {
        let line = line_of(screen, "each");
        line.contains("running") && line.contains("━") && line.contains("2/3")
    });
    drawn("what failed, while the rest still runs", &|screen| {
        line_of(screen, "broken").contains("failed")
            && line_of(screen, "behind").contains("upstream_failed")
            && line_of(screen, "each").contains("running")
    });
    // The rows are gone when the summary comes: each task stands there once.
    let rows = last.lines().filter(|line| line.starts_with("each "));
    assert_eq!(rows.count(), 1, "{last}");
    assert!(!last.contains("◔"), "{last}");
}
