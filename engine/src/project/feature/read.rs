//! From a feature view's file to what it says: all complaints about it, each with its place.

use std::path::Path;

use super::{FeatureSource, FeatureView, OnlineTable};
use crate::{
    project::Project,
    spec::{
        Diagnostics, Found, Mark, SourceFile, codes,
        parse::{Reader, Section},
        suggest,
        yaml::{self, Node},
    },
};

/// The keys of a view.
pub(super) const KEYS: &[&str] = &[
    "name",
    "description",
    "entity",
    "event_time",
    "created_time",
    "ttl",
    "columns",
    "source",
    "online",
];

/// How files end that can be read.
const ENDINGS: &[&str] = &["parquet", "csv", "json", "ndjson"];

/// Reads a view.
pub(super) fn view(source: &SourceFile, project: &Project) -> Result<FeatureView, Diagnostics> {
    let mut found = Found::new(source.name.clone());
    let view = yaml::parse(source, &mut found).and_then(|node| {
        let mut reader = Reader { found: &mut found };
        let section = reader.section(&node, "a feature view", KEYS)?;
        let stem = source
            .path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        View {
            reader: &mut reader,
            project,
            section: &section,
        }
        .read(&node, stem.as_deref())
    });
    let complaints = found.into_diagnostics().sorted();
    match view {
        Some(view) if !complaints.has_errors() => Ok(view),
        _ => Err(complaints),
    }
}

struct View<'a, 'f> {
    reader: &'a mut Reader<'f>,
    project: &'a Project,
    section: &'a Section<'a>,
}

impl View<'_, '_> {
    fn read(&mut self, node: &Node, stem: Option<&str>) -> Option<FeatureView> {
        let name = self.name(stem);
        let (entity, event_time) = (self.names("entity"), self.needed("event_time"));
        let columns = self.names("columns");
        let created_time = self.text("created_time");
        let ttl = self
            .section
            .get("ttl")
            .and_then(|node| self.reader.duration(node));
        let description = self.text("description");
        let source = if let Some(source) = self.section.get("source") {
            self.source(source)
        } else {
            self.missing("source", node.mark);
            None
        };
        let online = self.online(name.as_deref().unwrap_or_default());
        let view = FeatureView {
            name: name?,
            description,
            entity: entity?,
            event_time: event_time?,
            created_time,
            ttl,
            columns: columns?,
            source: source?,
            online: online?,
        };
        self.twice(&view);
        Some(view)
    }

    fn name(&mut self, stem: Option<&str>) -> Option<String> {
        let Some(node) = self.section.get("name") else {
            self.missing("name", self.section.mark);
            return None;
        };
        let text = self.reader.text(node)?;
        let name = self.reader.name(&text.value, text.mark);
        if stem.is_some_and(|stem| stem != &*name.value) {
            let message = format!("the view is called `{}` and its file is not", name.value);
            self.reader
                .found
                .error(codes::NAME_FILE, name.mark, message)
                .hint(format!("call the file `features/{}.yaml`", name.value));
        }
        Some(name.value.to_string())
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let node = self.section.get(key)?;
        self.reader.text(node).map(|text| text.value.to_string())
    }

    fn needed(&mut self, key: &str) -> Option<String> {
        if self.section.get(key).is_none() {
            self.missing(key, self.section.mark);
        }
        self.text(key)
    }

    fn names(&mut self, key: &str) -> Option<Vec<String>> {
        let Some(node) = self.section.get(key) else {
            self.missing(key, self.section.mark);
            return None;
        };
        let names: Vec<String> = self
            .reader
            .texts(node)
            .into_iter()
            .map(|name| name.value.to_string())
            .collect();
        if names.is_empty() {
            self.reader.found.error(
                codes::OUT_OF_RANGE,
                node.mark,
                format!("`{key}` names no column"),
            );
            return None;
        }
        Some(names)
    }

    fn missing(&mut self, key: &str, mark: Mark) {
        self.reader.found.error(
            codes::MISSING_KEY,
            mark,
            format!("a feature view needs `{key}`"),
        );
    }

    /// No column can be two things.
    fn twice(&mut self, view: &FeatureView) {
        let times = std::iter::once(&view.event_time).chain(&view.created_time);
        let all: Vec<&String> = view
            .entity
            .iter()
            .chain(times)
            .chain(&view.columns)
            .collect();
        let Some(node) = self.section.get("columns") else {
            return;
        };
        for (index, name) in all.iter().enumerate() {
            if all.get(..index).is_some_and(|before| before.contains(name)) {
                self.reader
                    .found
                    .error(
                        codes::FEATURE_VIEW,
                        node.mark,
                        format!("`{name}` is named twice"),
                    )
                    .hint("a column is part of the entity, a time, or something that is known");
            }
        }
    }

    fn source(&mut self, node: &Node) -> Option<FeatureSource> {
        let keys = ["path", "connection", "table", "query"];
        let section = self.reader.section(node, "`source`", &keys)?;
        let mut text = |key: &str| {
            let node = section.get(key)?;
            self.reader
                .text(node)
                .map(|text| (text.value.to_string(), text.mark))
        };
        let [path, connection, table, query] = keys.map(&mut text);
        if let Some((name, mark)) = &connection {
            self.connection(name, *mark);
        }
        let name = connection.map(|(name, _)| name);
        match (path, table, query, name) {
            (Some((path, mark)), None, None, connection) => {
                if kind(&path).is_none() {
                    let message = format!("`{path}` does not say what kind of file it is");
                    self.reader
                        .found
                        .error(codes::FEATURE_VIEW, mark, message)
                        .hint("a path ends in .parquet, .csv, .json or .ndjson");
                }
                Some(FeatureSource::Files { path, connection })
            }
            (None, Some((table, _)), None, Some(connection)) => {
                Some(FeatureSource::Table { connection, table })
            }
            (None, None, Some((query, _)), Some(connection)) => {
                Some(FeatureSource::Query { connection, query })
            }
            (None, Some(_), None, None) | (None, None, Some(_), None) => {
                self.reader
                    .found
                    .error(
                        codes::MISSING_KEY,
                        node.mark,
                        "`source` needs a `connection`",
                    )
                    .hint("name the database: `connection: warehouse`");
                None
            }
            _ => {
                self.reader
                    .found
                    .error(
                        codes::FEATURE_VIEW,
                        node.mark,
                        "a source is either a `path`, a `table` or a `query`",
                    )
                    .hint("write one of them; `table` and `query` go with a `connection`");
                None
            }
        }
    }

    fn online(&mut self, name: &str) -> Option<OnlineTable> {
        let mut online = OnlineTable {
            connection: "warehouse".to_owned(),
            table: format!("features_{name}"),
        };
        let Some(node) = self.section.get("online") else {
            return Some(online);
        };
        let section = self
            .reader
            .section(node, "`online`", &["connection", "table"])?;
        if let Some(node) = section.get("connection") {
            let text = self.reader.text(node)?;
            self.connection(&text.value, text.mark);
            online.connection = text.value.to_string();
        }
        if let Some(node) = section.get("table") {
            online.table = self.reader.text(node)?.value.to_string();
        }
        Some(online)
    }

    fn connection(&mut self, name: &str, mark: Mark) {
        let connections = &self.project.connections;
        if connections.get(name).is_some() || connections.unset(name).is_some() {
            return;
        }
        let known = self
            .project
            .connections
            .iter()
            .map(|connection| connection.name.as_str());
        self.reader
            .found
            .error(
                codes::UNKNOWN_CONNECTION,
                mark,
                format!("there is no connection `{name}`"),
            )
            .hint(suggest::hint(name, known));
    }
}

/// How a path ends that names files of a kind we read; `.gz`, `.zst` and `.zip` may follow.
pub(super) fn kind(path: &str) -> Option<&'static str> {
    let ending = |path: &Path| Some(path.extension()?.to_str()?.to_ascii_lowercase());
    let mut path = Path::new(path);
    if ending(path).is_some_and(|ending| matches!(ending.as_str(), "gz" | "zst" | "zip")) {
        path = Path::new(path.file_stem()?);
    }
    let ending = ending(path)?;
    ENDINGS.iter().find(|known| **known == ending).copied()
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use super::*;
    use crate::{
        connection::{Connection, Origin},
        secret::Secret,
    };

    fn project() -> Project {
        let mut project = Project::default();
        project.connections.insert(Connection {
            name: "warehouse".to_owned(),
            url: Secret::new("sqlite:x".to_owned()),
            settings: std::collections::BTreeMap::new(),
            origin: Origin::Default,
        });
        project
    }

    fn read(text: &str) -> Result<FeatureView, Vec<String>> {
        let mut source = SourceFile::new("features/bills.yaml", text);
        source.path = PathBuf::from("features/bills.yaml");
        FeatureView::parse(&source, &project()).map_err(|found| {
            let one = |found: &crate::spec::Diagnostic| {
                format!(
                    "{}:{} {} {}",
                    found.place.line, found.place.column, found.code, found.message
                )
            };
            found.iter().map(one).collect()
        })
    }

    const GOOD: &str = "name: bills\nentity: customer\nevent_time: at\ncreated_time: known\nttl: 30d\n\
                        columns: [amount, late]\nsource: {path: data/*.csv.gz}\n";

    #[test]
    fn a_view_says_all_of_it() {
        let view = read(GOOD).unwrap();
        assert_eq!(view.entity, ["customer"]);
        assert_eq!(view.ttl, Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(view.online.table, "features_bills");
        let source = FeatureSource::Files {
            path: "data/*.csv.gz".to_owned(),
            connection: None,
        };
        assert_eq!(view.source, source);
    }

    #[test]
    fn a_version_is_what_counts() {
        let version = |text: &str| read(text).unwrap().version();
        let good = version(GOOD);
        assert_eq!(good.len(), 12);
        assert_eq!(
            good,
            version(&format!(
                "# a comment\n{GOOD}description: of customers\nonline: {{table: t}}\n"
            ))
        );
        for (from, to) in [
            ("30d", "31d"),
            ("[amount, late]", "[late, amount]"),
            (".csv.gz", ".parquet"),
            ("created_time: known\n", ""),
        ] {
            assert_ne!(good, version(&GOOD.replace(from, to)), "{to}");
        }
    }

    #[test]
    fn every_mistake_has_its_place() {
        for (text, complaints) in [
            (
                "name: bills\n",
                vec![
                    "1:1 P019 a feature view needs `entity`",
                    "1:1 P019 a feature view needs `event_time`",
                    "1:1 P019 a feature view needs `columns`",
                    "1:1 P019 a feature view needs `source`",
                ],
            ),
            (
                &GOOD.replace("ttl: 30d", "tll: 30d"),
                vec!["5:1 P010 unknown key `tll` in a feature view"],
            ),
            (
                &GOOD.replace("ttl: 30d", "ttl: 30"),
                vec!["5:6 P060 `30` is a duration without a unit"],
            ),
            (
                &GOOD.replace("name: bills", "name: bill"),
                vec!["1:7 P027 the view is called `bill` and its file is not"],
            ),
            (
                &GOOD.replace("[amount, late]", "[amount, at]"),
                vec!["6:10 P101 `at` is named twice"],
            ),
            (
                &GOOD.replace("[amount, late]", "[]"),
                vec!["6:10 P017 `columns` names no column"],
            ),
            (
                &GOOD.replace(".csv.gz", ".txt"),
                vec!["7:16 P101 `data/*.txt` does not say what kind of file it is"],
            ),
            (
                &GOOD.replace("{path: data/*.csv.gz}", "{table: t}"),
                vec!["7:9 P019 `source` needs a `connection`"],
            ),
            (
                &GOOD.replace("{path: data/*.csv.gz}", "{table: t, connection: warehose}"),
                vec!["7:32 P050 there is no connection `warehose`"],
            ),
            (
                &GOOD.replace(
                    "{path: data/*.csv.gz}",
                    "{table: t, query: select 1, connection: warehouse}",
                ),
                vec!["7:9 P101 a source is either a `path`, a `table` or a `query`"],
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), complaints, "{text}");
        }
    }
}
