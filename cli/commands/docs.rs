//! `pipectl docs [PAGE]`: the pages of `docs/`, which this program carries with it.

use pipectl_engine::spec::suggest;

use crate::{
    exit::{Exit, Problem},
    project::Context,
    table::Table,
};

/// A page by its name.
macro_rules! page {
    ($name:literal) => {
        ($name, include_str!(concat!("../../docs/", $name, ".md")))
    };
}

/// The pages: their names and texts.
const PAGES: [(&str, &str); 23] = [
    page!("airflow"),
    page!("buckets"),
    page!("cache"),
    page!("daemon"),
    page!("databases"),
    page!("diagnostics"),
    page!("drift"),
    page!("features"),
    page!("files"),
    page!("http"),
    page!("isolation"),
    page!("models"),
    page!("pipelines"),
    page!("plugins"),
    page!("project"),
    page!("promises"),
    page!("quality"),
    page!("runs"),
    page!("schedules"),
    page!("serving"),
    page!("shaping"),
    page!("sql"),
    page!("text"),
];

pub(crate) fn run(context: &Context, page: Option<&str>) -> anyhow::Result<Exit> {
    let Some(wanted) = page else {
        list(context);
        return Ok(Exit::Done);
    };
    let name = wanted.trim_start_matches("docs/").trim_end_matches(".md");
    let Some((_, text)) = PAGES.iter().find(|(known, _)| *known == name) else {
        return Err(Problem::usage(format!("there is no page `{wanted}`"))
            .hint(suggest::hint(name, PAGES.map(|(name, _)| name)))
            .into());
    };
    context.output.print(text);
    Ok(Exit::Done)
}

fn list(context: &Context) {
    let mut table = Table::new(["Page", "Of"]);
    for (name, text) in PAGES {
        let title = text.lines().next().unwrap_or_default();
        table.row([name.into(), title.trim_start_matches("# ").into()]);
    }
    context.output.print(table.render(context.output.out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_carried() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
        let mut there: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".md").map(ToOwned::to_owned))
            .collect();
        there.sort();
        assert_eq!(PAGES.map(|(name, _)| name).to_vec(), there);
        for (name, text) in PAGES {
            assert!(text.starts_with("# "), "{name} has no title");
        }
    }
}
