//! `pipectl schema`: the JSON Schema of pipeline files.

use pipectl_engine::plan::pipeline_schema;

use crate::{
    exit::Exit,
    project::{Context, registry},
};

pub(crate) fn run(context: &Context) -> Exit {
    context.output.json(&pipeline_schema(&registry()));
    Exit::Done
}
