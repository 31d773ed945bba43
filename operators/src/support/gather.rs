//! Files that become one table: which columns they must have, and what is added to tell their rows apart.

use pipectl_engine::operator::{Complaints, TaskError};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    frame::polars_error,
    partitions::Partitions,
    settings::type_name,
    text::{hint_for_name, list},
};

/// What the columns of several files have to do with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SchemaRule {
    /// All files have the columns of the first one, and their types; their order may differ.
    #[default]
    Strict,
    /// A column that a file lacks is missing in its rows; whole numbers and other numbers of one column become numbers.
    Union,
}

/// How files become one table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// The columns to keep, in this order; all when none is named.
    pub(crate) columns: Vec<String>,
    /// What their columns have to do with each other.
    pub(crate) schema: SchemaRule,
    /// The column that gets the file's path.
    pub(crate) file_column: Option<String>,
}

impl Rules {
    /// Complains about settings that contradict each other.
    pub(crate) fn check(&self, found: &mut Complaints) {
        for (index, name) in self.columns.iter().enumerate() {
            if self.columns.iter().take(index).any(|other| other == name) {
                found.error(&["columns"], format!("`{name}` is named twice"));
            }
        }
        if let Some(name) = self.file_column.as_ref().filter(|name| name.is_empty()) {
            found.error(&["file_column"], format!("`{name}` is no name of a column"));
        }
    }
}

/// A file's rows.
struct Part {
    file: String,
    plan: LazyFrame,
    schema: SchemaRef,
    partitions: Partitions,
}

/// Files on the way to one table.
pub(crate) struct Gathering {
    rules: Rules,
    parts: Vec<Part>,
    /// The columns of the table so far: those of the files, and those of their directories.
    known: Schema,
}

impl Gathering {
    /// Nothing yet.
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            parts: Vec::new(),
            known: Schema::default(),
        }
    }

    /// The columns that the next file must have, when the first one says so.
    pub(crate) fn expected(&self) -> Option<&SchemaRef> {
        match self.rules.schema {
            SchemaRule::Strict => self.parts.first().map(|part| &part.schema),
            SchemaRule::Union => None,
        }
    }

    /// Adds the rows of a file.
    ///
    /// # Errors
    /// When columns are missing or of another type than in the files before it.
    pub(crate) fn add(
        &mut self,
        file: &str,
        plan: LazyFrame,
        schema: SchemaRef,
        partitions: Partitions,
    ) -> Result<(), TaskError> {
        if let Some(first) = self.parts.first() {
            match self.rules.schema {
                SchemaRule::Strict => self.same(file, &schema, &first.schema)?,
                SchemaRule::Union => {}
            }
        }
        self.own_names(file, &schema, &partitions)?;
        let of_file = schema.iter().map(|(name, of)| (name.clone(), of.clone()));
        for (name, of) in of_file.chain(partitions.types()) {
            let of = match self.known.get(&name) {
                None => of,
                Some(before) => {
                    widened(before, &of).ok_or_else(|| differ(&name, file, &of, before))?
                }
            };
            self.known.with_column(name, of);
        }
        self.parts.push(Part {
            file: file.to_owned(),
            plan,
            schema,
            partitions,
        });
        Ok(())
    }

    fn same(&self, file: &str, now: &Schema, first: &Schema) -> Result<(), TaskError> {
        let wanted = |name: &str| {
            self.rules.columns.is_empty() || self.rules.columns.iter().any(|kept| kept == name)
        };
        let lacking = |from: &Schema, of: &Schema| -> Vec<String> {
            let names = from
                .iter_names()
                .filter(|name| wanted(name) && !of.contains(name));
            names.map(ToString::to_string).collect()
        };
        let missing = lacking(first, now);
        if !missing.is_empty() {
            let missing = list(missing.iter().map(String::as_str));
            return Err(TaskError::user(format!(
                "`{file}` lacks columns of the files before it: {missing}"
            ))
            .hint("files that become one table have the same columns; `schema: union` leaves missing ones empty"));
        }
        if let Some(name) = lacking(now, first).first() {
            return Err(TaskError::user(format!(
                "`{file}` has a column `{name}` that the files before it lack"
            ))
            .hint("name the columns to keep under `columns`, or write `schema: union`"));
        }
        let differs = now
            .iter()
            .filter(|(name, _)| wanted(name))
            .find(|(name, of)| first.get(name) != Some(*of));
        match differs {
            Some((name, of)) => {
                let before = first.get(name).unwrap_or(&DataType::Null);
                Err(differ(name, file, of, before))
            }
            None => Ok(()),
        }
    }

    /// What is added must not have the name of a column that is there.
    fn own_names(
        &self,
        file: &str,
        schema: &Schema,
        partitions: &Partitions,
    ) -> Result<(), TaskError> {
        if let Some(name) = self.rules.file_column.as_deref()
            && (schema.contains(name) || partitions.types().any(|(own, _)| own == name))
        {
            return Err(
                TaskError::user(format!("`{file}` has a column `{name}` of its own"))
                    .hint("give `file_column` another name"),
            );
        }
        Ok(())
    }

    /// The table.
    ///
    /// # Errors
    /// When no file was added, or a column that is to be kept is in none.
    pub(crate) fn finish(self) -> Result<LazyFrame, TaskError> {
        let (rules, known) = (&self.rules, &self.known);
        let names: Vec<PlSmallStr> = if rules.columns.is_empty() {
            known.iter_names().cloned().collect()
        } else {
            rules.columns.iter().map(Into::into).collect()
        };
        if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
            let file = self.parts.first().map_or("", |part| &part.file);
            let columns: Vec<&str> = known.iter_names().map(PlSmallStr::as_str).collect();
            return Err(
                TaskError::user(format!("`{file}` has no column `{unknown}`")).hint(hint_for_name(
                    unknown,
                    "its columns are",
                    columns,
                )),
            );
        }
        let mut plans: Vec<LazyFrame> = self
            .parts
            .iter()
            .map(|part| part.as_wanted(&names, known, rules))
            .collect();
        let whole = match plans.len() {
            0 => return Err(TaskError::bug("no file was read")),
            1 => Ok(plans.remove(0)),
            _ => concat(
                plans,
                UnionArgs {
                    rechunk: false,
                    maintain_order: true,
                    ..UnionArgs::default()
                },
            ),
        };
        whole.map_err(|error| polars_error("join the files", &error))
    }
}

impl Part {
    fn as_wanted(&self, names: &[PlSmallStr], known: &Schema, rules: &Rules) -> LazyFrame {
        let as_it_is = self.schema.iter_names().eq(names)
            && rules.file_column.is_none()
            && self
                .schema
                .iter()
                .all(|(name, of)| known.get(name) == Some(of));
        if as_it_is {
            return self.plan.clone();
        }
        let mut wanted: Vec<Expr> = names
            .iter()
            .map(|name| {
                let target = known.get(name).cloned().unwrap_or(DataType::Null);
                if let Some(value) = self.partitions.value(name) {
                    return value.cast(target).alias(name.clone());
                }
                match self.schema.get(name) {
                    Some(of) if *of == target => col(name.clone()),
                    Some(_) => col(name.clone()).cast(target),
                    None => lit(NULL).cast(target).alias(name.clone()),
                }
            })
            .collect();
        if let Some(name) = &rules.file_column {
            wanted.push(lit(self.file.as_str()).alias(name.as_str()));
        }
        // Not `select`: a table of values alone would have one row.
        let order: Vec<Expr> = wanted
            .iter()
            .filter_map(|expr| expr.clone().meta().output_name().ok())
            .map(col)
            .collect();
        self.plan.clone().with_columns(wanted).select(order)
    }
}

fn differ(name: &str, file: &str, now: &DataType, before: &DataType) -> TaskError {
    TaskError::user(format!(
        "`{name}` is {} in `{file}` and {} in the files before it",
        type_name(now),
        type_name(before)
    ))
    .hint("read the files in tasks of their own and bring them together in a `transform: sql`, or declare the type under `types` where there is that setting")
}

/// The type that holds values of both.
fn widened(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType as D;
    let rank = |of: &DataType| match of {
        D::Int8 => Some(1),
        D::Int16 => Some(2),
        D::Int32 => Some(3),
        D::Int64 => Some(4),
        _ => None,
    };
    match (one, other) {
        (one, other) if one == other => Some(one.clone()),
        (D::Null, other) | (other, D::Null) => Some(other.clone()),
        (D::Float64 | D::Float32, number) | (number, D::Float64 | D::Float32)
            if rank(number).is_some() || number.is_float() =>
        {
            Some(D::Float64)
        }
        (one, other) => {
            let (left, right) = (rank(one)?, rank(other)?);
            Some(if left > right {
                one.clone()
            } else {
                other.clone()
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(rules: Rules, files: &[(&str, DataFrame)]) -> Result<DataFrame, TaskError> {
        let mut gathering = Gathering::new(rules);
        for (file, frame) in files {
            let (plan, schema) = (frame.clone().lazy(), frame.schema().clone());
            gathering.add(file, plan, schema, Partitions::of(file, true))?;
        }
        gathering
            .finish()?
            .collect()
            .map_err(|error| polars_error("read", &error))
    }

    fn rules(schema: SchemaRule) -> Rules {
        Rules {
            schema,
            ..Rules::default()
        }
    }

    #[test]
    fn missing_columns_are_empty_and_numbers_grow() {
        let files = [
            ("a", df!["x" => [1i64], "y" => ["a"]].unwrap()),
            ("b", df!["z" => [true], "x" => [1.5]].unwrap()),
        ];
        let expected = df![
            "x" => [1.0, 1.5],
            "y" => [Some("a"), None],
            "z" => [None, Some(true)]
        ];
        let table = gathered(rules(SchemaRule::Union), &files).unwrap();
        assert!(table.equals_missing(&expected.unwrap()), "{table:?}");
        let error = gathered(rules(SchemaRule::Strict), &files).unwrap_err();
        assert_eq!(
            error.message,
            "`b` lacks columns of the files before it: `y`"
        );
        let files = [files[0].clone(), ("c", df!["x" => ["one"]].unwrap())];
        let error = gathered(rules(SchemaRule::Union), &files).unwrap_err();
        assert_eq!(
            error.message,
            "`x` is string in `c` and integer in the files before it"
        );
    }

    #[test]
    fn directories_and_files_become_columns() {
        let frame = df!["x" => [1i64, 2]].unwrap();
        let files = [
            ("day=2026-03-01/n=1/a", frame.clone()),
            (
                "day=2026-03-02/n=__HIVE_DEFAULT_PARTITION__/a",
                frame.clone(),
            ),
        ];
        let mut wanted = rules(SchemaRule::Strict);
        wanted.file_column = Some("file".to_owned());
        let table = gathered(wanted.clone(), &files).unwrap();
        assert_eq!(table.get_column_names(), ["x", "day", "n", "file"]);
        assert_eq!(table.column("day").unwrap().dtype(), &DataType::Date);
        let n = table.column("n").unwrap();
        assert_eq!((n.dtype(), n.null_count()), (&DataType::Int64, 2));
        wanted.columns = vec!["n".to_owned()];
        assert_eq!(gathered(wanted.clone(), &files).unwrap().shape(), (4, 2));
        wanted.file_column = Some("day".to_owned());
        let error = gathered(wanted, &files).unwrap_err();
        assert!(
            error.message.ends_with("has a column `day` of its own"),
            "{error}"
        );
    }
}
