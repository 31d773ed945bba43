//! `pipectl models list`.

use pipectl_engine::model::{CHAMPION, ModelVersion};
use serde_json::{Value, json};

use crate::{
    arguments::Format,
    exit::Exit,
    project::Context,
    records::{metrics, moment},
    table::{Cell, Table},
    wire::House,
};

pub(super) async fn run(context: &Context, house: &House, format: Format) -> anyhow::Result<Exit> {
    let mut rows = Vec::new();
    for name in house.store.models().await? {
        let versions = house.store.versions(&name).await?;
        rows.push((name, versions));
    }
    if format == Format::Json {
        let models: Vec<Value> = rows
            .iter()
            .map(|(name, versions)| {
                json!({
                    "name": name,
                    "versions": versions.len(),
                    "newest": versions.first().map(|version| version.version),
                    "champion": champion(versions).map(|version| version.version),
                })
            })
            .collect();
        context.output.json(&json!({"models": models}));
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        context
            .output
            .note("no models are registered yet: `train` with `register:` does it");
        return Ok(Exit::Done);
    }
    let mut table = Table::new([
        "Model",
        "Versions",
        "Champion",
        "Registered (UTC)",
        "Measures",
    ]);
    for (name, versions) in &rows {
        let champion = champion(versions);
        let of = |what: &dyn Fn(&ModelVersion) -> String| champion.map(what).unwrap_or_default();
        table.row([
            name.as_str().into(),
            Cell::right(versions.len().to_string()),
            Cell::right(of(&|one| one.version.to_string())),
            of(&|one| moment(one.created)).into(),
            of(&|one| metrics(&one.metrics, one.card["metric"].as_str(), 72)).into(),
        ]);
    }
    context.output.print(table.render(context.output.out));
    Ok(Exit::Done)
}

fn champion(versions: &[ModelVersion]) -> Option<&ModelVersion> {
    let is_champion = |version: &&ModelVersion| version.aliases.iter().any(|name| name == CHAMPION);
    versions.iter().find(is_champion)
}
