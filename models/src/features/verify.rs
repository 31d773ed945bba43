//! Compares derived features with polars' answer to the same SQL.

use polars::prelude::{Column as FrameColumn, DataFrame, DataType, IntoLazy, NamedFrom, Series};
use polars::sql::SQLContext;

use crate::data::{Column, ColumnKind, Table, Values};
use crate::error::{ModelError, Result};
use crate::features::Feature;

/// Rows that are compared.
const SAMPLE: usize = 2_000;
/// Functions like `ln` may differ in the last digits.
const TOLERANCE: f64 = 1e-9;

/// An error when a feature of the extended table is not what polars answers.
pub(crate) fn verify(table: &Table, extended: &Table, features: &[Feature]) -> Result<()> {
    if features.is_empty() || table.rows == 0 {
        return Ok(());
    }
    let step = table.rows.div_ceil(SAMPLE);
    let rows: Vec<u32> = (0..table.rows)
        .step_by(step)
        .filter_map(|row| u32::try_from(row).ok())
        .collect();
    let sample = frame(&table.take(&rows))?;
    let extended = extended.take(&rows);
    for feature in features {
        let expected = answer(&sample, feature)?;
        let own = extended
            .column(&feature.name)
            .ok_or_else(|| ModelError::internal("a feature without a column"))?;
        compare(feature, own, &expected)?;
    }
    Ok(())
}

/// The table as polars sees it: null where a value is missing, numbers as doubles.
fn frame(table: &Table) -> Result<DataFrame> {
    let columns = table
        .columns
        .iter()
        .map(|column| {
            let name = column.name.as_str().into();
            match &column.values {
                Values::Number(values) => {
                    let values: Vec<Option<f64>> = values
                        .iter()
                        .map(|value| (!value.is_nan()).then_some(*value))
                        .collect();
                    let series = Series::new(name, values);
                    if column.kind == ColumnKind::Boolean {
                        series.cast(&DataType::Boolean)
                    } else {
                        Ok(series)
                    }
                }
                Values::Text(text) => {
                    let values: Vec<Option<&str>> = (0..table.rows)
                        .map(|row| Some(text.get(row)).filter(|text| !text.is_empty()))
                        .collect();
                    Ok(Series::new(name, values))
                }
                Values::Date(values) => Ok(Series::new(name, values.as_slice())),
            }
            .map(FrameColumn::from)
        })
        .collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(DataFrame::new(table.rows, columns)?)
}

fn answer(sample: &DataFrame, feature: &Feature) -> Result<Series> {
    let mut context = SQLContext::new();
    context.register("data", sample.clone().lazy());
    let query = format!("select ({}) as feature from data", feature.sql);
    let frame = context
        .execute(&query)
        .and_then(polars::prelude::LazyFrame::collect)
        .map_err(|error| {
            ModelError::settings(format!("the feature `{}`: {error}", feature.name))
        })?;
    Ok(frame.column("feature")?.as_materialized_series().clone())
}

fn compare(feature: &Feature, own: &Column, expected: &Series) -> Result<()> {
    let differ = |row: usize, own: &str, other: &str| {
        ModelError::settings(format!(
            "the feature `{}` would mean something else in the model than in SQL (row {row} of a sample: {own} against \
             {other}); compute it in a `transform` before",
            feature.name
        ))
    };
    match &own.values {
        Values::Number(values) => {
            let expected = expected.cast(&DataType::Float64)?;
            for (row, (own, other)) in values.iter().zip(expected.f64()?.iter()).enumerate() {
                let other = other.unwrap_or(f64::NAN);
                if !alike(*own, other) {
                    return Err(differ(row, &own.to_string(), &other.to_string()));
                }
            }
        }
        Values::Text(text) => {
            for (row, other) in expected.str()?.iter().enumerate() {
                let other = other.unwrap_or("");
                if text.get(row) != other {
                    return Err(differ(row, text.get(row), other));
                }
            }
        }
        Values::Date(_) => return Err(ModelError::internal("a feature that is a date")),
    }
    Ok(())
}

#[allow(clippy::float_cmp, reason = "infinities are equal only to themselves")]
fn alike(own: f64, other: f64) -> bool {
    (own.is_nan() && other.is_nan())
        || own == other
        || (own - other).abs() <= TOLERANCE * own.abs().max(1.0)
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use polars::prelude::df;

    use crate::data::{Table, Values};
    use crate::features::{Feature, extend, flaws};

    fn table() -> Table {
        let frame = df!(
            "a" => [Some(1.0), Some(-2.5), None, Some(0.0), Some(7.25)],
            "b" => [Some(2.0), None, Some(3.0), Some(0.0), Some(-1.5)],
            "n" => [Some(1i64), Some(2), Some(3), None, Some(0)],
            "ok" => [Some(true), Some(false), None, Some(true), Some(false)],
            "city" => [Some("Bern"), Some("ZÜRICH"), None, Some(""), Some("Genf")],
            "home" => [Some("Bern"), Some("Basel"), Some("Genf"), None, Some("Genf")],
        )
        .unwrap();
        Table::from_frame(&frame, &[]).unwrap()
    }

    fn compile(sql: &str) -> Result<Table, String> {
        let table = table();
        let features = IndexMap::from([("feature".to_owned(), sql.to_owned())]);
        Feature::compile_all(&features, &table.specs())
            .and_then(|features| extend(&table, &features))
            .map_err(|error| error.to_string())
    }

    /// Every one of these is compared with polars inside `extend`.
    #[test]
    fn features_mean_what_polars_says() {
        let expressions = [
            "a + b * 2 - n / 4",
            "a / nullif(b, 0)",
            "-a",
            "a % 2",
            "a > b",
            "a >= b and not ok",
            "ok or a < 1",
            "ok and a < 1",
            "a = b or n <> 2",
            "a between -3 and n",
            "a not between 0 and 1",
            "case when a > 0 then 1 when b > 0 then b else -1 end",
            "case when ok then a end",
            "case n when 1 then 10 when 2 then 20 end",
            "case city when 'Bern' then 1 else 0 end",
            "case when a > 0 then 'plus' when a < 0 then 'minus' end",
            "coalesce(a, b, 0)",
            "coalesce(city, home, 'none')",
            "a is null",
            "a is not null and city is null",
            "least(a, b, 1)",
            "greatest(a, b)",
            "abs(a) + exp(b) + sqrt(abs(b)) + ln(abs(a) + 1)",
            "floor(a) + ceil(b)",
            "round(a) + round(b)",
            "round(a, 1)",
            "lower(city)",
            "upper(home)",
            "city = 'Bern'",
            "'Bern' = city",
            "city <> 'Bern'",
            "city = home",
            "city in ('Bern', 'Genf')",
            "city not in ('Bern', 'Genf')",
            "n in (1, 2)",
            "n not in (1, 2)",
            "lower(city) = 'bern'",
            "nullif(city, 'Bern')",
            "nullif(city, home)",
            "cast(a as integer)",
            "cast(a as double)",
            "cast(ok as integer) + 1",
            "(a + null) is null",
            "n / 2",
            "case when a is null then null else 1 end",
        ];
        for sql in expressions {
            compile(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }

    #[test]
    fn long_ones_are_computed() {
        let sum = vec!["a"; 290].join("+");
        let list: Vec<String> = (0..1_500).map(|number| number.to_string()).collect();
        for sql in [sum, format!("n in ({})", list.join(","))] {
            compile(&sql).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn what_needs_no_columns_is_seen_without_them() {
        let features = |sql: &str| IndexMap::from([("x".to_owned(), sql.to_owned())]);
        for (sql, reason) in [
            ("a /", "expected: an expression, found its end"),
            ("nofunc(a)", "there is no function `nofunc` in models"),
            ("a b", "`b` is too much after the expression"),
            ("lower(1)", "`1` is a number where text is needed"),
        ] {
            assert_eq!(
                flaws(&features(sql)),
                [(
                    "x",
                    format!(
                        "the feature `x` cannot be part of a model: {reason}; compute it in a `transform` before"
                    )
                )]
            );
        }
        for sql in [
            "a + b",
            "lower(city) = 'x' and ok",
            "case when a > 1 then city end",
            "cast(a as integer)",
        ] {
            assert_eq!(flaws(&features(sql)), []);
        }
    }

    #[test]
    fn an_empty_text_is_null() {
        let table = compile("coalesce(city, 'none')").unwrap();
        let Values::Text(text) = &table.column("feature").unwrap().values else {
            panic!("text")
        };
        assert_eq!(
            [text.get(0), text.get(2), text.get(3)],
            ["Bern", "none", "none"]
        );
    }

    #[test]
    fn what_cannot_be_compiled_says_where_to_compute_it() {
        let cases = [
            ("sum(a)", "there is no function `sum` in models"),
            ("abs(a, b)", "`abs` takes one argument"),
            (
                "coalesce()",
                "the function `coalesce` is not supported with these arguments",
            ),
            (
                "sqrtt(a)",
                "there is no function `sqrtt` in models; did you mean `sqrt`?",
            ),
            ("a /", "expected: an expression, found its end"),
            ("a + city", "`city` is text where a number is needed"),
            ("a + missing", "there is no column `missing`"),
            ("city like 'B%'", "`city LIKE 'B%'` is not supported"),
            (
                "avg(a) over ()",
                "`avg(a) OVER ()` looks at more than its own row",
            ),
            ("city < home", "`city` is text where a number is needed"),
            ("cast(city as integer)", "`city` is text, which is not cast"),
            ("(select 1)", "`(SELECT 1)` is not supported"),
            ("a b", "`b` is too much after the expression"),
        ];
        for (sql, reason) in cases {
            let expected = format!(
                "the feature `feature` cannot be part of a model: {reason}; compute it in a `transform` before"
            );
            assert_eq!(compile(sql).unwrap_err(), expected, "{sql}");
        }
        let long = vec!["a"; 3_000].join("+");
        assert!(
            compile(&long)
                .unwrap_err()
                .contains("it has 3000 operators one in another, and at most 300 are understood")
        );
        assert_eq!(
            compile("1 + 1").unwrap_err(),
            "the feature `feature` uses no column"
        );
    }
}
