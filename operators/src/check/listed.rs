//! The names of all rules, also of those that are kept.

use super::expectations::{ColumnRules, Config, Severity};

/// All rules by name, with what they do.
pub(super) fn listed(config: &Config) -> Vec<(String, Severity)> {
    let mut all = Vec::new();
    let mut add = |name: String, severity: Option<Severity>| {
        all.push((name, severity.unwrap_or(config.severity)));
    };
    if let Some(rows) = config.rows {
        if rows.min.is_some() || rows.max.is_some() || rows.between.is_some() {
            add("rows".to_owned(), rows.severity);
        }
        if rows.change.is_some() {
            add("rows change".to_owned(), rows.severity);
        }
    }
    for (column, rules) in &config.columns {
        let mut names = of_column(rules).peekable();
        if names.peek().is_none() {
            add(column.clone(), rules.severity);
        }
        for name in names {
            add(format!("{column} {name}"), rules.severity);
        }
    }
    for rule in &config.unique {
        add(format!("unique {}", rule.columns.join(", ")), rule.severity);
    }
    for rule in &config.foreign_keys {
        add(rule.name(), rule.severity);
    }
    for rule in &config.distribution {
        for column in &rule.columns {
            add(format!("{column} distribution"), rule.severity);
        }
    }
    if let Some(rule) = &config.freshness {
        add("freshness".to_owned(), rule.severity);
    }
    for rule in &config.sql {
        add(rule.name.clone(), rule.severity);
    }
    all
}

/// The rules that are set for a column.
fn of_column(rules: &ColumnRules) -> impl Iterator<Item = &'static str> {
    [
        ("type", rules.of.is_some()),
        ("between", rules.between.is_some()),
        ("min", rules.min.is_some()),
        ("max", rules.max.is_some()),
        ("in", rules.one_of.is_some()),
        ("regex", rules.regex.is_some()),
        ("length", rules.length.is_some()),
        ("unique", rules.unique),
        ("not_null", rules.not_null),
        ("null_share", rules.null_share.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, is_set)| is_set.then_some(name))
}
