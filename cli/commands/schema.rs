//! `pipectl schema`: the JSON Schema of pipeline files.

use crate::{
    exit::{Exit, Problem},
    project::{Context, registry},
};

pub(crate) fn run(context: &Context) -> anyhow::Result<Exit> {
    let _ = (context, registry());
    Err(Problem::environment("the schema is not built yet").into())
}
