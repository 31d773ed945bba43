//! A search that dies goes on after the trials that it had measured.

use std::collections::HashSet;

use super::harness::Project;

const SEARCH: &str = "
name: search
tasks:
  rows:
    extract: csv
    with: {path: rows.csv}
  model:
    train: regressor
    from: rows
    with:
      target: y
      candidates:
        ridge: {alpha: [0.1, 1.0, 10.0]}
        random_forest: {n_estimators: 150, max_depth: [2, 4, 6, 8, 10]}
        gradient_boosting: {max_iter: [20, 40, 60]}
      search: {memory: 64MiB}
      metric: mae
      path: models/found.onnx
      seed: 3
";
/// Eleven candidates and the baseline, in five folds.
const FITS: usize = 60;

fn project() -> Project {
    let project = Project::with("search", SEARCH);
    let rows: String = (0..3000)
        .map(|row| format!("{},{},{}\n", row * 37 % 101, row * 53 % 97, row * row % 89))
        .collect();
    project.write("rows.csv", format!("a,b,y\n{rows}"));
    project
}

/// The fits that an attempt has measured, as its log tells them.
fn measured(project: &Project, attempt: &str) -> HashSet<String> {
    let log = project.succeed(&["runs", "logs", "last", "model", "--attempt", attempt]);
    let lines = log
        .stdout
        .lines()
        .filter(|line| line.contains(" of 5: mae "));
    let fits = lines.filter_map(|line| line.split("INFO").nth(1)?.split(": mae ").next());
    fits.map(|fit| fit.trim().to_owned()).collect()
}

#[test]
fn a_killed_training_goes_on_with_the_next_trial() {
    let undisturbed = project();
    undisturbed.succeed(&["run", "search"]);
    assert_eq!(measured(&undisturbed, "1").len(), FITS);
    let wanted = std::fs::read(undisturbed.path("models/found.onnx")).unwrap();

    let mut project = project();
    project.set("PIPECTL_FAILPOINT", "train_fits_kept:3");
    let killed = project.run(&["run", "search"]);
    assert_eq!(killed.code, None, "the process was to die\n{killed}");
    project.unset("PIPECTL_FAILPOINT");
    project.succeed(&["run", "--resume", "last"]);
    let (first, second) = (measured(&project, "1"), measured(&project, "2"));
    let all: HashSet<&String> = first.union(&second).collect();
    let twice = first.intersection(&second).count();
    // The last words of a killed process may be lost: what it has kept is not measured again for that.
    assert!(all.len() + 3 >= FITS, "{first:?}\n{second:?}");
    assert!(second.len() + 3 <= FITS, "{}", second.len());
    // Those that were measured while the others were being kept.
    assert!(twice <= 8, "{twice} of {}", first.len());
    assert!(
        std::fs::read(project.path("models/found.onnx")).unwrap() == wanted,
        "the model is another one"
    );
}
