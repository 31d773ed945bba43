//! `pipectl schema`: the JSON Schema of pipelines' and feature views' files.

use pipectl_engine::{plan::pipeline_schema, project::feature::feature_view_schema};

use crate::{
    arguments::SchemaOf,
    exit::Exit,
    project::{Context, registry},
};

pub(crate) fn run(context: &Context, of: SchemaOf) -> Exit {
    match of {
        SchemaOf::Pipeline => context.output.json(&pipeline_schema(&registry())),
        SchemaOf::FeatureView => context.output.json(&feature_view_schema()),
    }
    Exit::Done
}
