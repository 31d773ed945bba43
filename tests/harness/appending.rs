//! Rows that are appended, counted from outside while processes die.

use super::Project;

/// Appends a file's rows to a table.
const APPEND: &str = "\
name: append
tasks:
  orders:
    extract: csv
    with: {path: data/orders.csv}
  table:
    load: sql
    from: orders
    with: {connection: warehouse, table: orders, mode: append, create: true}
";

/// A project whose pipeline `append` appends so many rows to the table `orders`.
pub(crate) fn appending(rows: u32) -> Project {
    let project = Project::with("append", APPEND);
    let rows: String = (0..rows)
        .map(|row| format!("{row},{}\n", row * 7 % 100))
        .collect();
    project.write("data/orders.csv", format!("id,amount\n{rows}"));
    project
}

/// The first row that a query of the warehouse gives.
#[track_caller]
pub(crate) fn told(project: &Project, query: &str) -> String {
    project.write(
        "counting/told.yaml",
        format!(
            "name: told
tasks:
  asked:
    extract: sql
    with: {{connection: warehouse, query: '{query}'}}
  file:
    load: csv
    from: asked
    with: {{path: out/told.csv}}
"
        ),
    );
    project.succeed(&["run", "counting/told.yaml"]);
    let told = project.read("out/told.csv");
    told.lines().nth(1).unwrap().to_owned()
}

/// How many rows a table has.
#[track_caller]
pub(crate) fn counted(project: &Project, table: &str) -> usize {
    let count = told(project, &format!("select count(*) as found from {table}"));
    count.parse().unwrap()
}

/// Runs a pipeline that dies at this point, and goes on with it.
#[track_caller]
pub(crate) fn lost_and_resumed(project: &mut Project, pipeline: &str, point: &str) {
    project.set("PIPECTL_FAILPOINT", point);
    let lost = project.run(&["run", pipeline]);
    assert_eq!(lost.code, None, "{point}: the process was to die\n{lost}");
    project.unset("PIPECTL_FAILPOINT");
    project.succeed(&["run", "--resume", "last"]);
}

/// Loses a process of the pipeline `append` at each of these points; each row is there once for each run.
pub(crate) fn every_row_once(mut project: Project, points: &[&str], rows: usize) {
    for (runs, point) in (1..).zip(points) {
        lost_and_resumed(&mut project, "append", point);
        assert_eq!(counted(&project, "orders"), runs * rows, "{point}");
    }
}
