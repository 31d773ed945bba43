//! What an upsert does with a row whose key is there.

use super::{
    job::Job,
    table::{TableColumn, quoted, quoted_list},
};

impl Job {
    /// What an upsert does with a row whose key is there.
    pub(super) fn on_conflict(&self, columns: &[TableColumn]) -> String {
        let key = quoted_list(self.key.iter().map(String::as_str));
        let others = columns
            .iter()
            .filter(|column| !self.key.contains(&column.name));
        let set: Vec<_> = others
            .map(|column| format!("{0} = excluded.{0}", quoted(&column.name)))
            .collect();
        if set.is_empty() {
            return format!(" on conflict ({key}) do nothing");
        }
        let update = format!(" on conflict ({key}) do update set {}", set.join(", "));
        if self.newer.is_empty() {
            return update;
        }
        let row = |of: &str| {
            let columns = self
                .newer
                .iter()
                .map(|name| format!("{of}.{}", quoted(name)));
            columns.collect::<Vec<_>>().join(", ")
        };
        let there = row(&quoted(&self.table.name));
        format!("{update} where ({}) > ({there})", row("excluded"))
    }
}
