//! Rows out of Postgres, gathered column by column.

use pipectl_engine::operator::TaskError;
use polars::prelude::{Column, DataFrame, PolarsResult};
use sqlx::{
    Row, TypeInfo, ValueRef,
    postgres::{PgRow, PgTypeInfo, PgTypeKind},
};

use super::{
    decode::{Builder, take_field},
    table::{Holds, quoted},
};

/// A column of a query, and how its values are read.
#[derive(Clone, Debug)]
pub(super) struct ReadColumn {
    /// Its name.
    pub(super) name: String,
    /// The name of its type.
    type_name: String,
    holds: Holds,
    list: bool,
}

impl ReadColumn {
    /// A column of this type.
    pub(super) fn of(name: &str, of: &PgTypeInfo) -> Self {
        let (element, list) = match of.kind() {
            PgTypeKind::Array(element) => (element, true),
            _ => (of, false),
        };
        Self {
            name: name.to_owned(),
            type_name: of.name().to_owned(),
            holds: holds(element),
            list,
        }
    }

    /// What its values are; `None` for arrays.
    pub(super) fn kind(&self) -> Option<Holds> {
        (!self.list).then_some(self.holds)
    }

    /// The name of its type.
    pub(super) fn type_name(&self) -> String {
        self.type_name.to_ascii_lowercase()
    }

    /// Whether the server has to turn it into text, because columns do not hold its type.
    pub(super) fn by_text(&self) -> bool {
        self.holds == Holds::Other
    }

    /// The column as the server gives it.
    pub(super) fn selected(&self) -> String {
        let name = quoted(&self.name);
        if self.by_text() {
            let array = if self.list { "[]" } else { "" };
            format!("{name}::text{array} as {name}")
        } else {
            name
        }
    }

    /// What is said of a type that columns do not hold.
    pub(super) fn unheld(&self) -> TaskError {
        TaskError::user(format!(
            "column `{}` has the type {}, which datasets do not hold",
            self.name, self.type_name
        ))
        .hint(cast_hint(&self.name))
    }
}

fn holds(of: &PgTypeInfo) -> Holds {
    match of.kind() {
        PgTypeKind::Enum(_) => Holds::Enum,
        PgTypeKind::Domain(base) => holds(base),
        PgTypeKind::Simple => {
            let name = of.name().trim_matches('"').to_ascii_lowercase();
            Holds::of_postgres(&name, "")
        }
        _ => Holds::Other,
    }
}

fn cast_hint(name: &str) -> String {
    format!("change it in the query, for example by `cast({name} as text)`")
}

/// What the binary form of `COPY` begins with; the length of an extension follows.
const HEAD: usize = 19;

/// Rows that are being gathered.
pub(super) struct Rows {
    columns: Vec<(String, Builder)>,
    /// How many there are.
    pub(super) count: u64,
    /// How many of them have been taken out.
    taken: u64,
    /// How many bytes the server has sent for those that have not.
    pub(super) bytes: usize,
    begun: bool,
}

impl Rows {
    /// No rows yet.
    pub(super) fn new(columns: &[ReadColumn]) -> Self {
        let builders = columns.iter().map(|column| {
            // What is none of the others comes as text.
            let builder = Builder::of(column.holds, column.list)
                .or_else(|| Builder::of(Holds::Text, column.list));
            Some((column.name.clone(), builder?))
        });
        Self {
            columns: builders.flatten().collect(),
            count: 0,
            taken: 0,
            bytes: 0,
            begun: false,
        }
    }

    /// Takes what a `COPY` sends at once: whole rows.
    ///
    /// # Errors
    /// Names the value that cannot be held.
    pub(super) fn copied(&mut self, data: &[u8]) -> Result<(), TaskError> {
        self.bytes += data.len();
        let mut data = data;
        if !self.begun {
            data = data.get(HEAD..).ok_or_else(broken)?;
            self.begun = true;
        }
        while let Some((count, rest)) = data.split_first_chunk() {
            data = rest;
            if i16::from_be_bytes(*count) < 0 {
                break;
            }
            for (name, builder) in &mut self.columns {
                let value = take_field(&mut data).map_err(|_| broken())?;
                builder
                    .push(value)
                    .map_err(|what| unheld(self.count, name, what))?;
            }
            self.count += 1;
        }
        Ok(())
    }

    /// Takes a row that came in another way than by `COPY`.
    ///
    /// # Errors
    /// Names the value that cannot be held.
    pub(super) fn row(&mut self, row: &PgRow) -> Result<(), TaskError> {
        for (index, (name, builder)) in self.columns.iter_mut().enumerate() {
            let raw = row.try_get_raw(index).map_err(|_| broken())?;
            let value = if raw.is_null() {
                None
            } else {
                Some(raw.as_bytes().map_err(|_| broken())?)
            };
            self.bytes += value.map_or(0, <[u8]>::len);
            builder
                .push(value)
                .map_err(|what| unheld(self.count, name, what))?;
        }
        self.count += 1;
        Ok(())
    }

    /// Takes the rows out; those that follow are counted on.
    ///
    /// # Errors
    /// When decimals do not fit together.
    pub(super) fn emptied(&mut self) -> PolarsResult<DataFrame> {
        let columns = self.columns.iter_mut();
        let columns = columns.map(|(name, builder)| (name.clone(), builder.emptied()));
        let part = Self {
            columns: columns.collect(),
            count: self.count,
            taken: self.taken,
            bytes: 0,
            begun: true,
        };
        (self.taken, self.bytes) = (self.count, 0);
        part.finish()
    }

    /// Adds the rows that another session has gathered.
    pub(super) fn append(&mut self, other: Self) {
        self.count += other.count;
        for ((_, builder), (_, more)) in self.columns.iter_mut().zip(other.columns) {
            builder.append(more);
        }
    }

    /// The rows as a frame.
    ///
    /// # Errors
    /// When decimals do not fit together.
    pub(super) fn finish(self) -> PolarsResult<DataFrame> {
        let height = usize::try_from(self.count - self.taken).unwrap_or(usize::MAX);
        let columns = self
            .columns
            .into_iter()
            .map(|(name, builder)| builder.finish(&name))
            .collect::<PolarsResult<Vec<Column>>>()?;
        DataFrame::new(height, columns)
    }
}

fn broken() -> TaskError {
    TaskError::external("the server has sent half a row")
}

fn unheld(before: u64, name: &str, what: &str) -> TaskError {
    TaskError::user(format!(
        "row {} of the query: `{name}` is {what}",
        before + 1
    ))
    .hint(cast_hint(name))
}
