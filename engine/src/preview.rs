//! What is in a dataset, for people who look at a run: first rows, columns, gaps, distribution.
//!
//! Nobody pays for it before somebody looks: it is made then, and kept beside the dataset.

use polars::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    artifact::ArtifactStore,
    dataset::{Dataset, StoredDataset, type_name},
    failure::StoreError,
};

/// How many rows are shown.
const SHOWN: usize = 20;
/// How many rows are looked at: the first ones of a greater table.
const LOOKED_AT: u32 = 1_000_000;
/// How many bars a histogram has.
const BARS: usize = 20;
/// How many of the most frequent values are named.
const FREQUENT: usize = 10;
/// How long a shown text may be, in characters.
const LONGEST: usize = 200;

/// What is in a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    /// How many rows there are.
    pub rows: u64,
    /// How many of them the columns' facts are about: the first ones.
    pub looked_at: u64,
    /// Its columns.
    pub columns: Vec<ColumnPreview>,
    /// The first rows, each a list in the order of the columns.
    pub head: Vec<Vec<Value>>,
}

/// What is in a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnPreview {
    /// Its name.
    pub name: String,
    /// polars' name of its type.
    pub of: String,
    /// How many values are missing.
    pub nulls: u64,
    /// How many different values there are; not counted for lists and structs.
    pub distinct: Option<u64>,
    /// The least value.
    pub least: Option<Value>,
    /// The greatest value.
    pub greatest: Option<Value>,
    /// The mean of numbers.
    pub mean: Option<f64>,
    /// How many numbers or moments lie in each of equally wide bins from the least to the greatest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub histogram: Vec<u64>,
    /// The most frequent values of other columns, and how often each is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frequent: Vec<(Value, u64)>,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The dataset or its preview cannot be read or kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The table cannot be computed with.
    #[error("cannot look into the dataset `{name}`")]
    Table {
        /// The dataset.
        name: String,
        /// What polars says.
        source: PolarsError,
    },
}

/// The preview of a durable dataset: the kept one, else it is made and kept.
///
/// # Errors
/// When the dataset is gone or cannot be read.
pub async fn preview(
    artifacts: &dyn ArtifactStore,
    stored: &StoredDataset,
) -> Result<Preview, PreviewError> {
    let key = format!("{}.preview.json", stored.key);
    if let Ok(kept) = artifacts.get(&key).await
        && let Ok(preview) = serde_json::from_slice(&kept)
    {
        return Ok(preview);
    }
    let path = artifacts.local(&stored.key).await?;
    let (name, source) = (stored.name.clone(), stored.clone());
    let made =
        tokio::task::spawn_blocking(move || Preview::of(&Dataset::from_stored(source, path)?));
    let made = made
        .await
        .unwrap_or_else(|error| Err(PolarsError::ComputeError(error.to_string().into())));
    let preview = made.map_err(|source| PreviewError::Table { name, source })?;
    if let Ok(text) = serde_json::to_vec(&preview)
        && let Err(error) = artifacts.put(&key, text.into()).await
    {
        tracing::debug!(%error, key, "the preview is not kept");
    }
    Ok(preview)
}

/// The preview of what several durable datasets make together, in this order. It is not kept.
///
/// # Errors
/// When one of them is gone or cannot be read, or they have different columns.
pub async fn preview_together(
    artifacts: &dyn ArtifactStore,
    parts: &[StoredDataset],
) -> Result<Preview, PreviewError> {
    let mut files = Vec::with_capacity(parts.len());
    for part in parts {
        files.push((part.clone(), artifacts.local(&part.key).await?));
    }
    let name = parts.first().map(|part| part.name.clone());
    let made = tokio::task::spawn_blocking(move || {
        let rows = files.iter().map(|(part, _)| part.rows).sum();
        let plans = files
            .into_iter()
            .map(|(part, path)| Dataset::from_stored(part, path)?.lazy());
        let plans: Vec<LazyFrame> = plans.collect::<PolarsResult<_>>()?;
        let together = Dataset::from_lazy(concat(plans, UnionArgs::default())?)?;
        Ok(Preview {
            rows,
            ..Preview::of(&together)?
        })
    });
    let made = made
        .await
        .unwrap_or_else(|error| Err(PolarsError::ComputeError(error.to_string().into())));
    let name = name.unwrap_or_default();
    made.map_err(|source| PreviewError::Table { name, source })
}

impl Preview {
    /// Looks into a dataset. Computes: call it where that is allowed.
    ///
    /// # Errors
    /// When the table cannot be computed.
    pub fn of(dataset: &Dataset) -> PolarsResult<Self> {
        let frame = dataset.lazy()?.limit(LOOKED_AT).collect()?;
        let looked_at = frame.height() as u64;
        let head = frame.head(Some(SHOWN));
        let row = |row| {
            head.columns()
                .iter()
                .map(|column| shown(column, row))
                .collect()
        };
        Ok(Self {
            rows: dataset.known_rows().unwrap_or(looked_at),
            looked_at,
            columns: frame
                .columns()
                .iter()
                .map(ColumnPreview::of)
                .collect::<PolarsResult<_>>()?,
            head: (0..head.height()).map(row).collect(),
        })
    }
}

impl ColumnPreview {
    fn of(column: &Column) -> PolarsResult<Self> {
        let of = column.dtype();
        let nulls = column.null_count();
        let mut preview = Self {
            name: column.name().to_string(),
            of: type_name(of),
            nulls: nulls as u64,
            distinct: None,
            least: None,
            greatest: None,
            mean: None,
            histogram: Vec::new(),
            frequent: Vec::new(),
        };
        if of.is_nested() || *of == DataType::Null {
            return Ok(preview);
        }
        // A gap is no value of its own.
        let distinct = column.n_unique()? - usize::from(nulls > 0);
        preview.distinct = Some(distinct as u64);
        if of.is_numeric() || of.is_temporal() {
            preview.measure(column)?;
        } else if distinct < column.len() - nulls {
            preview.frequent = frequent(column)?;
        }
        Ok(preview)
    }

    /// Least, greatest, mean and histogram of what lies on a line.
    fn measure(&mut self, column: &Column) -> PolarsResult<()> {
        let line = column.to_physical_repr().cast(&DataType::Float64)?;
        let line = line.f64()?;
        let finite = |value: &f64| value.is_finite();
        let rows = || line.iter().enumerate();
        let known = || rows().filter_map(|(row, value)| Some((value.filter(finite)?, row)));
        let least = known().min_by(|left, right| left.0.total_cmp(&right.0));
        let greatest = known().max_by(|left, right| left.0.total_cmp(&right.0));
        let (Some((low, lowest)), Some((high, highest))) = (least, greatest) else {
            return Ok(());
        };
        self.least = Some(shown(column, lowest));
        self.greatest = Some(shown(column, highest));
        if column.dtype().is_numeric() {
            let numbers = column.cast(&DataType::Float64)?;
            let (sum, count) = numbers
                .f64()?
                .iter()
                .flatten()
                .filter(finite)
                .fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            self.mean = Some(sum / count);
        }
        self.histogram = bins(line.iter().flatten().filter(finite), low, high);
        Ok(())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the quotient lies between 0 and the number of bars"
)]
fn bins(values: impl Iterator<Item = f64>, low: f64, high: f64) -> Vec<u64> {
    let mut counts = vec![0; BARS];
    let width = (high - low) / BARS as f64;
    for value in values {
        let bin = if width > 0.0 {
            ((value - low) / width) as usize
        } else {
            0
        };
        counts[bin.min(BARS - 1)] += 1;
    }
    counts
}

/// The most frequent values, those that are there equally often in their own order.
fn frequent(column: &Column) -> PolarsResult<Vec<(Value, u64)>> {
    let name = "value";
    let table = DataFrame::new_infer_height(vec![column.clone().with_name(name.into())])?;
    let counted = table
        .lazy()
        .filter(col(name).is_not_null())
        .group_by([col(name)])
        .agg([len().alias("times")])
        .sort(
            ["times", name],
            SortMultipleOptions::default().with_order_descending_multi([true, false]),
        )
        .limit(u32::try_from(FREQUENT).unwrap_or(u32::MAX))
        .collect()?;
    let times = counted.column("times")?.cast(&DataType::UInt64)?;
    let (values, times) = (counted.column(name)?, times.u64()?);
    let pairs = (0..counted.height()).map(|row| (shown(values, row), times.get(row).unwrap_or(0)));
    Ok(pairs.collect())
}

/// A value as JSON: what JSON has no word for as text.
fn shown(column: &Column, row: usize) -> Value {
    match column.get(row) {
        Ok(AnyValue::Null) | Err(_) => Value::Null,
        Ok(AnyValue::Boolean(value)) => value.into(),
        Ok(AnyValue::String(text)) => text.chars().take(LONGEST).collect::<String>().into(),
        Ok(AnyValue::StringOwned(text)) => text.chars().take(LONGEST).collect::<String>().into(),
        Ok(AnyValue::Float64(value)) if value.is_finite() => json!(value),
        Ok(AnyValue::Float32(value)) if value.is_finite() => json!(value),
        Ok(value) => match value
            .extract::<i64>()
            .filter(|_| value.dtype().is_integer())
        {
            Some(whole) => whole.into(),
            None => value
                .to_string()
                .chars()
                .take(LONGEST)
                .collect::<String>()
                .into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_column_is_looked_into() {
        let day = Series::new("day".into(), [19_000_i32, 19_010])
            .cast(&DataType::Date)
            .unwrap();
        let mut frame = df![
            "n" => [Some(1_i64), None],
            "x" => [f64::NAN, 2.5],
            "text" => ["a", "a"],
            "name" => ["Ann", "Bob"],
            "yes" => [true, false],
        ]
        .unwrap();
        frame.with_column(day.into()).unwrap();
        let preview = Preview::of(&Dataset::from_frame(frame)).unwrap();
        assert_eq!((preview.rows, preview.looked_at), (2, 2));
        assert_eq!(
            preview.head[0],
            [
                json!(1),
                json!("NaN"),
                json!("a"),
                json!("Ann"),
                json!(true),
                json!("2022-01-08")
            ]
        );
        assert_eq!(preview.head[1][0], Value::Null);
        let [n, x, text, name, _, day] = preview.columns.as_slice() else {
            panic!()
        };
        assert_eq!(
            (n.nulls, n.distinct, &n.least, n.mean),
            (1, Some(1), &Some(json!(1)), Some(1.0))
        );
        assert_eq!((x.mean, x.histogram.iter().sum::<u64>()), (Some(2.5), 1));
        assert_eq!(text.frequent, [(json!("a"), 2)]);
        assert_eq!(name.frequent, []);
        assert_eq!(
            (&day.least, &day.greatest, day.mean, day.histogram[19]),
            (
                &Some(json!("2022-01-08")),
                &Some(json!("2022-01-18")),
                None,
                1
            )
        );
    }

    #[test]
    fn an_empty_table_has_columns() {
        let frame = df!["n" => Vec::<i64>::new(), "t" => Vec::<String>::new()].unwrap();
        let preview = Preview::of(&Dataset::from_frame(frame)).unwrap();
        assert_eq!(
            (preview.rows, preview.columns.len(), preview.head.len()),
            (0, 2, 0)
        );
        assert_eq!(preview.columns[0].distinct, Some(0));
    }
}
