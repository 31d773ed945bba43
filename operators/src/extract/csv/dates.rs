//! Finds columns of dates and times.
//!
//! polars could recognise them while it reads, but it tries every form it knows on every field, and takes `01.02.2026`
//! for a date too, of one country or another.

use pipectl_engine::operator::TaskError;
use polars::prelude::*;

use super::{Config, file::Source, flaws::type_error};
use crate::support::{
    frame::polars_error,
    iso::{converted, form},
};

/// Turns columns of text into dates and times: those that are declared as such in `types`, and where the settings
/// allow it those whose first rows all look like it.
///
/// # Errors
/// Names the first field that is none.
pub(super) fn recognised(
    mut frame: DataFrame,
    types: &Schema,
    config: &Config,
    source: &Source,
) -> Result<DataFrame, TaskError> {
    let fail = |error: PolarsError| polars_error(&format!("read `{}`", source.shown()), &error);
    for index in 0..frame.width() {
        let Some(column) = frame.columns().get(index) else {
            continue;
        };
        let Ok(text) = column.str() else { continue };
        let to = match types.get(column.name()) {
            Some(of) if of.is_temporal() => of.clone(),
            None if config.dates => match likely(text, config.infer_rows) {
                Some(of) => of,
                None => continue,
            },
            _ => continue,
        };
        let read = converted(text, &to).map_err(|row| match row {
            Ok(row) => {
                let value = text.get(row).unwrap_or_default();
                type_error(column.name(), row as u64 + 1, value, &to, config, source)
            }
            Err(error) => fail(error),
        })?;
        frame.replace_column(index, read).map_err(fail)?;
    }
    Ok(frame)
}

/// A column of text as dates or times, in a plan.
pub(super) fn parsed(name: &str, of: &DataType) -> Expr {
    let (to, target) = (of.clone(), of.clone());
    col(name).map(
        move |column| {
            converted(column.str()?, &to).map_err(|wrong| match wrong {
                Ok(row) => polars_err!(
                    ComputeError: "`{}` is no {to}",
                    column.str().ok().and_then(|text| text.get(row)).unwrap_or_default()
                ),
                Err(error) => error,
            })
        },
        move |_, field| Ok(Field::new(field.name().clone(), target.clone())),
    )
}

/// The type of a column by its first `limit` values, when they agree; 0 stands for all.
fn likely(text: &StringChunked, limit: usize) -> Option<DataType> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let mut forms = text.iter().flatten().take(limit).map(form);
    let first = forms.next()??;
    forms
        .all(|form| form == Some(first))
        .then(|| first.polars())
}
