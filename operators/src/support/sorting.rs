//! The order that settings name: columns, each ascending or, with a `-` before it, descending.

use pipectl_engine::operator::TaskError;
use polars::prelude::*;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use super::{frame::polars_error, keys::column, settings::Names};

/// One column or several, each perhaps with a `-` before its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OrderBy(pub(crate) Vec<(String, bool)>);

impl<'de> Deserialize<'de> for OrderBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Names(names) = Names::deserialize(deserializer)?;
        let one = |name: String| match name.strip_prefix('-') {
            Some(rest) => (rest.to_owned(), true),
            None => (name, false),
        };
        Ok(Self(names.into_iter().map(one).collect()))
    }
}

impl JsonSchema for OrderBy {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OrderBy".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Names::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

/// The table's rows in order: by `first`, then by what settings say; equal ones stay in the table's order. Missing
/// values count as the least.
///
/// # Errors
/// When a column is not there or has no order.
pub(crate) fn positions(
    table: &str,
    frame: &DataFrame,
    first: &[Column],
    order: &OrderBy,
) -> Result<Vec<IdxSize>, TaskError> {
    let mut by: Vec<(Column, bool)> = first.iter().map(|column| (column.clone(), false)).collect();
    for (name, descending) in &order.0 {
        by.push((column(table, frame, name)?.clone(), *descending));
    }
    let rows = IdxSize::try_from(frame.height()).unwrap_or(IdxSize::MAX);
    let (Some((head, _)), false) = (by.first(), rows == 0) else {
        return Ok((0..rows).collect());
    };
    let fail = |error: PolarsError| polars_error(&format!("sort `{table}`"), &error);
    let sorted = if let [(column, descending)] = by.as_slice() {
        column.arg_sort(
            SortOptions::default()
                .with_order_descending(*descending)
                .with_nulls_last(*descending)
                .with_maintain_order(true),
        )
    } else {
        let options = SortMultipleOptions::default()
            .with_order_descending_multi(by.iter().map(|(_, descending)| *descending))
            .with_nulls_last_multi(by.iter().map(|(_, descending)| *descending))
            .with_maintain_order(true);
        let rest: Vec<Column> = by
            .iter()
            .skip(1)
            .map(|(column, _)| column.clone())
            .collect();
        head.arg_sort_multiple(&rest, &options).map_err(fail)?
    };
    Ok(sorted.iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_stable_and_missing_values_are_the_least() {
        let frame =
            df!["a" => [Some(2), None, Some(1), Some(2)], "b" => [1.0, 2.0, 3.0, 4.0]].unwrap();
        for (order, rows) in [
            (vec![("a", false)], [1, 2, 0, 3]),
            (vec![("a", true)], [0, 3, 2, 1]),
            (vec![("a", false), ("b", true)], [1, 2, 3, 0]),
            (vec![], [0, 1, 2, 3]),
        ] {
            let order = OrderBy(
                order
                    .into_iter()
                    .map(|(name, down)| (name.to_owned(), down))
                    .collect(),
            );
            assert_eq!(
                positions("t", &frame, &[], &order).unwrap(),
                rows,
                "{order:?}"
            );
        }
    }
}
