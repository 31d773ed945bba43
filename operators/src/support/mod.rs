//! What several operators share.

pub(crate) mod chart;
pub(crate) mod csv;
pub(crate) mod database;
pub(crate) mod document;
pub(crate) mod files;
pub(crate) mod frame;
pub(crate) mod iso;
pub(crate) mod location;
pub(crate) mod model;
pub(crate) mod order;
pub(crate) mod page;
pub(crate) mod polars_sql;
pub(crate) mod process;
pub(crate) mod profile;
pub(crate) mod script;
pub(crate) mod sensing;
pub(crate) mod settings;
pub(crate) mod target;
pub(crate) mod text;
pub(crate) mod watch;
pub(crate) mod whole;
