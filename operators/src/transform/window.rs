//! `transform: window`: adds columns that are computed from the rows around each row.

mod column;
mod frames;
mod sliding;

use indexmap::IndexMap;
use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Complaints, DurationText, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext,
        TaskError,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    frame::{only_input, polars_error},
    settings::Names,
    sorting::OrderBy,
};

/// `transform: window`.
pub(crate) struct Window;

/// Columns that are computed from the rows of the same group, in an order. The table's rows and their order stay.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The columns that rows of a group have in common; all rows are one group when it is left out.
    #[serde(default)]
    by: Names,
    /// The columns that say in which order rows come within a group; the table's order when it is left out, and among
    /// equal ones. `-day` stands for the other direction. Missing values count as the least.
    #[serde(default)]
    order_by: OrderBy,
    /// The new columns by name.
    #[schemars(extend("minProperties" = 1))]
    columns: IndexMap<String, New>,
}

/// A new column. `sum`, `mean`, `min`, `max`, `count`, `std`, `first` and `last` look at all rows of the group up to this
/// one, unless `rows`, `within` or `whole` says otherwise; missing values do not count.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct New {
    /// What is computed.
    function: Function,
    /// The column it is computed from.
    of: Option<String>,
    /// Only the last so many rows, this one included.
    #[schemars(range(min = 1))]
    rows: Option<usize>,
    /// Only rows of which the first column of `order_by`, a date or a time, is less than so much before this row's: `7d`.
    within: Option<DurationText>,
    /// All rows of the group, also those that come later.
    #[serde(default)]
    whole: bool,
    /// Without this row: what was known before it.
    #[serde(default)]
    exclude_current: bool,
    /// For `lag`, `lead` and `diff`: how many rows away; 1 when it is left out.
    #[schemars(range(min = 1))]
    steps: Option<usize>,
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Function {
    /// The sum.
    Sum,
    /// The mean.
    Mean,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// How many rows have a value; without `of` how many rows there are.
    Count,
    /// The standard deviation of a sample (n − 1).
    Std,
    /// The first row's value, missing or not.
    First,
    /// The last row's value, missing or not.
    Last,
    /// The value of an earlier row.
    Lag,
    /// The value of a later row.
    Lead,
    /// The value less that of an earlier row.
    Diff,
    /// The row's number in its group, from 1.
    RowNumber,
    /// The row's rank by `order_by`: equal rows have the same, and leave a gap.
    Rank,
    /// The same without gaps.
    DenseRank,
}

impl Function {
    /// The function as settings name it.
    fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Std => "std",
            Self::First => "first",
            Self::Last => "last",
            Self::Lag => "lag",
            Self::Lead => "lead",
            Self::Diff => "diff",
            Self::RowNumber => "row_number",
            Self::Rank => "rank",
            Self::DenseRank => "dense_rank",
        }
    }

    fn is_rank(self) -> bool {
        matches!(self, Self::RowNumber | Self::Rank | Self::DenseRank)
    }

    fn is_shift(self) -> bool {
        matches!(self, Self::Lag | Self::Lead | Self::Diff)
    }
}

impl Operator for Window {
    type Config = Config;
    const KIND: Kind = Kind::Transform;
    const NAME: &'static str = "window";
    const SUMMARY: &'static str =
        "Adds columns from the rows around each row: rolling, lagged, cumulative, ranked.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table()
    }

    fn check(config: &Config, found: &mut Complaints) {
        for (name, new) in &config.columns {
            check_column(name, new, config, found);
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (name, frame) = only_input(context).await?;
        let cancel = context.cancel.clone();
        let frame = context
            .compute(move || {
                let lines = frames::Lines::new(&config, &name, &frame)?;
                let mut wide = frame.clone();
                for (title, new) in &config.columns {
                    if cancel.is_cancelled() {
                        return Err(TaskError::external("the attempt was stopped"));
                    }
                    let mut column = column::computed(new, &name, &frame, &lines)?;
                    column.rename(title.as_str().into());
                    wide.with_column(column)
                        .map_err(|error| polars_error(&format!("add `{title}`"), &error))?;
                }
                Ok(wide)
            })
            .await?;
        Ok(Outcome::Done(Output::table(Dataset::from_frame(frame))))
    }
}

fn check_column(name: &str, new: &New, config: &Config, found: &mut Complaints) {
    let path = |setting: &'static str| ["columns", name, setting];
    let function = new.function.name();
    match &new.of {
        None if !new.function.is_rank() && new.function != Function::Count => {
            found
                .error(&["columns", name], format!("`{function}` needs a column"))
                .hint("name it: `of: amount`");
        }
        Some(_) if new.function.is_rank() => {
            found
                .error(
                    &path("of"),
                    format!("`{function}` is not computed from a column"),
                )
                .hint("it ranks rows by `order_by`");
        }
        _ => {}
    }
    let frames = [new.rows.is_some(), new.within.is_some(), new.whole];
    let frames = frames.into_iter().filter(|is_there| *is_there).count();
    let alone = new.function.is_rank() || new.function.is_shift();
    if alone && (frames > 0 || new.exclude_current) {
        found.error(
            &["columns", name],
            format!("`{function}` does not take `rows`, `within`, `whole` or `exclude_current`"),
        );
    } else if frames > 1 {
        found.error(
            &["columns", name],
            "only one of `rows`, `within` and `whole` can be given",
        );
    }
    if new.steps.is_some() && !new.function.is_shift() {
        found
            .error(&path("steps"), format!("`{function}` takes no steps"))
            .hint(
                "`steps` is for `lag`, `lead` and `diff`; `rows: 7` makes a window of seven rows",
            );
    }
    let wants_order = matches!(new.function, Function::Rank | Function::DenseRank);
    if (wants_order || new.within.is_some()) && config.order_by.0.is_empty() {
        let what = if wants_order { function } else { "within" };
        found
            .error(&["columns", name], format!("`{what}` needs `order_by`"))
            .hint("name the columns that rows are ordered by");
    }
    if new.within.is_some()
        && config
            .order_by
            .0
            .first()
            .is_some_and(|(_, descending)| *descending)
    {
        found.error(&path("within"), "rows must be ordered by time ascending");
    }
}

#[cfg(test)]
mod tests;
