//! The steps that a database's tables have gone through: forward only, the same names on both databases.

use pipectl_engine::store::StoreError;

/// One step.
pub(crate) struct Migration {
    pub(crate) name: &'static str,
    pub(crate) postgres: &'static str,
    pub(crate) sqlite: &'static str,
}

macro_rules! migrations {
    ($($name:literal),* $(,)?) => {
        &[$(Migration {
            name: $name,
            postgres: include_str!(concat!("../../migrations/postgres/", $name, ".sql")),
            sqlite: include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
        }),*]
    };
}

/// All steps in their order.
pub(crate) const MIGRATIONS: &[Migration] = migrations![
    "0001_history",
    "0002_daemons",
    "0003_states",
    "0004_cache",
    "0005_rate_limits",
    "0006_order",
    "0007_version",
    "0008_cascade",
    "0009_parts",
    "0010_children"
];

/// The steps that are missing in a database that has gone through those `applied`.
///
/// # Errors
/// When the database has gone through a step that this program does not know.
pub(crate) fn missing(applied: &[String]) -> Result<&'static [Migration], StoreError> {
    let known = MIGRATIONS.iter().map(|migration| migration.name);
    if let Some(unknown) = applied
        .iter()
        .zip(known.map(Some).chain(std::iter::repeat(None)))
        .find_map(|(applied, known)| (Some(applied.as_str()) != known).then_some(applied))
    {
        return Err(StoreError::invalid(format!(
            "the history was made by a newer version of this program (it has `{unknown}`); use that version or another history"
        )));
    }
    Ok(&MIGRATIONS[applied.len()..])
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    #[test]
    fn both_databases_have_the_same_steps() {
        let names = |database: &str| -> BTreeSet<String> {
            let directory =
                concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations").to_owned() + "/" + database;
            let files = fs::read_dir(directory).unwrap();
            files
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect()
        };
        let listed = MIGRATIONS
            .iter()
            .map(|migration| format!("{}.sql", migration.name))
            .collect();
        assert_eq!(names("postgres"), listed);
        assert_eq!(names("sqlite"), listed);
    }

    #[test]
    fn a_newer_database_is_refused() {
        let name = |text: &str| text.to_owned();
        assert_eq!(missing(&[]).unwrap().len(), MIGRATIONS.len());
        assert!(missing(&[name("0001_history")]).unwrap().len() < MIGRATIONS.len());
        for applied in [
            vec![name("0000_other")],
            vec![name("0001_history"), name("9999_newer")],
        ] {
            assert!(missing(&applied).is_err(), "{applied:?}");
        }
    }
}
