//! A pipeline that learns who leaves, quickly.

/// Learns from the first `rows` rows only, so that versions differ; `model` are settings of the training, `promote` is the
/// rule.
pub(crate) fn training(rows: u32, model: &str, promote: &str) -> String {
    format!(
        r#"
name: training
tasks:
  history:
    extract: csv
    with: {{path: data/churn/history.csv, null_values: ["", " "]}}
  some:
    transform: sql
    from: history
    with: {{query: select * from history order by customerID limit {rows}}}
  model:
    train: classifier
    from: some
    with:
      target: Churn
      exclude: [customerID]
      {model}
      validation: {{folds: 2}}
      metric: f1
      register: churn
      promote: {promote}
"#
    )
}
