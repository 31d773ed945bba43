//! What is looked at before the first row is written, the same for both databases.

use pipectl_engine::operator::TaskError;
use polars::prelude::*;

use super::{
    fit::plain,
    job::{Job, Mode},
    table::{TableColumn, quoted, quoted_list},
};
use crate::support::{
    settings::type_name,
    text::{count, hint_for_name, list},
    values::not_finite,
};

impl Job {
    /// What can be said without the database. Computes: call it where blocking is allowed.
    ///
    /// # Errors
    /// When a key column is missing, empty or not unique.
    pub(crate) fn check_rows(&self) -> Result<(), TaskError> {
        if matches!(self.mode, Mode::Upsert | Mode::DeleteInsert) {
            self.check_key()?;
        }
        Ok(())
    }

    /// Refuses numbers that are not finite, where a column does not hold them. `before` rows come before the part.
    ///
    /// # Errors
    /// Names the first one.
    pub(super) fn check_finite(
        &self,
        part: &DataFrame,
        before: usize,
        holds: impl Fn(&TableColumn) -> bool,
        columns: &[TableColumn],
    ) -> Result<(), TaskError> {
        for (column, target) in part.columns().iter().zip(columns) {
            if column.dtype().is_float()
                && !holds(target)
                && let Some(row) = not_finite(column)?
            {
                let value = column
                    .get(row)
                    .map_or_else(|_| String::new(), |value| value.to_string());
                return Err(TaskError::user(format!(
                    "row {} of `{}`: `{}` is {value}, which `{}` does not hold",
                    before + row + 1,
                    self.name,
                    column.name(),
                    self.table
                ))
                .hint("turn it into null in a `transform: sql`"));
            }
        }
        Ok(())
    }

    fn check_key(&self) -> Result<(), TaskError> {
        for name in &self.key {
            if self.rows.column(name).is_none() {
                return Err(TaskError::user(format!(
                    "`{}` has no column `{name}`, which is named under `key`",
                    self.name
                ))
                .hint(hint_for_name(name, "its columns are", self.rows.names())));
            }
        }
        let keys = self.rows.only(&self.name, &self.key)?;
        let name = self.name.clone();
        keys.parts(&self.name, move |part, before| {
            no_nulls(&name, &part, before)
        })?;
        if self.mode == Mode::DeleteInsert {
            return Ok(());
        }
        let repeated = keys.repeated(&self.name)?;
        if repeated.height() == 0 {
            return Ok(());
        }
        let shown = repeated.columns().iter().map(|column| {
            let value = column.get(0).map(|value| plain(&value));
            format!("`{}` = {}", column.name(), value.unwrap_or_default())
        });
        let shown: Vec<_> = shown.collect();
        Err(TaskError::user(format!(
            "{} of `{}` share their key with another row, the first with {}",
            count(repeated.height() as u64, "row"),
            self.name,
            shown.join(", ")
        ))
        .hint("keep one row a key in a `transform: sql`, or choose another `key`"))
    }

    /// Whether there are no rows, and columns of text of which nobody knows whether they are: no table is made of these.
    pub(super) fn says_no_types(&self) -> bool {
        let text = |column: &&Column| *column.dtype() == DataType::String;
        self.rows.known() == Some(0) && self.rows.columns().iter().any(|column| text(&column))
    }

    /// The dataset's columns that the table does not have.
    pub(super) fn missing<'a>(&'a self, columns: &[TableColumn]) -> Vec<&'a Column> {
        let known = |name: &str| columns.iter().any(|column| column.name == name);
        let all = self.rows.columns().iter();
        all.filter(|column| !known(column.name())).collect()
    }

    /// The table's columns that are written, in the order of the dataset's.
    ///
    /// # Errors
    /// When columns are missing on either side, or types do not go together: all of them are named.
    pub(super) fn matched(&self, columns: &[TableColumn]) -> Result<Vec<TableColumn>, TaskError> {
        let missing = self.missing(columns);
        if let Some(first) = missing.first() {
            let known = columns.iter().map(|column| column.name.as_str());
            let hint = hint_for_name(first.name(), "its columns are", known);
            return Err(TaskError::user(format!(
                "table `{}` has no column{} {}",
                self.table,
                if missing.len() == 1 { "" } else { "s" },
                list(missing.iter().map(|column| column.name().as_str()))
            ))
            .hint(format!("{hint}; `add_columns: true` adds what is missing")));
        }
        let required = columns
            .iter()
            .filter(|column| column.required && self.rows.column(&column.name).is_none());
        let required: Vec<_> = required.map(|column| column.name.as_str()).collect();
        if !required.is_empty() {
            return Err(TaskError::user(format!(
                "table `{}` needs a value for {}",
                self.table,
                list(required)
            ))
            .hint("add the columns to the dataset, or give them a default in the table"));
        }
        let matched: Vec<_> = self
            .rows
            .columns()
            .iter()
            .filter_map(|column| columns.iter().find(|target| target.name == **column.name()))
            .cloned()
            .collect();
        let wrong: Vec<_> = self
            .rows
            .columns()
            .iter()
            .zip(&matched)
            .filter(|(have, want)| {
                !want.takes(have.dtype()) && !self.rows.is_without_values(have.name())
            })
            .map(|(have, want)| {
                format!(
                    "`{}` is {} there and {} here",
                    have.name(),
                    want.type_name,
                    type_name(have.dtype())
                )
            })
            .collect();
        if wrong.is_empty() {
            return Ok(matched);
        }
        Err(TaskError::user(format!(
            "table `{}` does not fit `{}`: {}",
            self.table,
            self.name,
            wrong.join("; ")
        ))
        .hint("say their `types` where they are read, cast them in a `transform: sql`, or change the table"))
    }

    /// Refuses an upsert into a table that has no unique index on the key.
    ///
    /// # Errors
    /// When there is none, with the statement that makes one.
    pub(super) fn check_unique(&self, indexes: &[Vec<String>]) -> Result<(), TaskError> {
        let same = |index: &Vec<String>| {
            index.len() == self.key.len() && self.key.iter().all(|name| index.contains(name))
        };
        if self.mode != Mode::Upsert || indexes.iter().any(same) {
            return Ok(());
        }
        let columns = quoted_list(self.key.iter().map(String::as_str));
        Err(TaskError::user(format!(
            "table `{}` has no unique index on {}, so an upsert cannot tell its rows apart",
            self.table,
            list(self.key.iter().map(String::as_str))
        ))
        .hint(format!(
            "make one: create unique index on {} ({columns}); or use `mode: delete_insert`",
            self.table.quoted()
        )))
    }

    /// The statement that makes the table.
    ///
    /// # Errors
    /// When a column's type has no counterpart.
    pub(super) fn create_table(
        &self,
        type_of: impl Fn(&DataType) -> Option<String>,
    ) -> Result<String, TaskError> {
        let mut parts = Vec::new();
        for column in self.rows.columns() {
            let required = if self.key.iter().any(|key| key == column.name()) {
                " not null"
            } else {
                ""
            };
            parts.push(format!("{}{required}", self.declared(column, &type_of)?));
        }
        if !self.key.is_empty() && self.mode != Mode::DeleteInsert {
            let key = quoted_list(self.key.iter().map(String::as_str));
            parts.push(format!("primary key ({key})"));
        }
        Ok(format!(
            "create table if not exists {} ({})",
            self.table.quoted(),
            parts.join(", ")
        ))
    }

    /// The statement that adds a column to the table.
    ///
    /// # Errors
    /// When the column's type has no counterpart.
    pub(super) fn add_column(
        &self,
        column: &Column,
        type_of: impl Fn(&DataType) -> Option<String>,
    ) -> Result<String, TaskError> {
        Ok(format!(
            "alter table {} add column {}",
            self.table.quoted(),
            self.declared(column, type_of)?
        ))
    }

    fn declared(
        &self,
        column: &Column,
        type_of: impl Fn(&DataType) -> Option<String>,
    ) -> Result<String, TaskError> {
        let of = type_of(column.dtype()).ok_or_else(|| {
            TaskError::user(format!(
                "`{}` of `{}` is {}, for which a table has no type",
                column.name(),
                self.name,
                type_name(column.dtype())
            ))
            .hint("turn it into text or numbers in a `transform: sql`, or leave it out")
        })?;
        Ok(format!("{} {of}", quoted(column.name())))
    }
}

/// Refuses rows that lack a part of their key.
fn no_nulls(name: &str, keys: &DataFrame, before: usize) -> Result<(), TaskError> {
    for column in keys.columns() {
        if let Some(row) = column.is_null().iter().position(|null| null == Some(true)) {
            return Err(TaskError::user(format!(
                "row {} of `{name}` has no `{}`, which is part of the key",
                before + row + 1,
                column.name()
            ))
            .hint("leave such rows out in a `transform: sql`"));
        }
    }
    Ok(())
}
