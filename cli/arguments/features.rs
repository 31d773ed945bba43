//! `pipectl features …`.

use clap::{Args, Subcommand, ValueEnum};

use super::{Answer, Format};

/// Which files a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// pipelines/*.yaml
    Pipeline,
    /// features/*.yaml
    FeatureView,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Features {
    /// List the project's feature views
    List(Answer),
    /// Show what a view says
    Show(FeaturesShow),
    /// Read the newest values of an entity from the view's online table
    Get(FeaturesGet),
}

#[derive(Debug, Args)]
pub(crate) struct FeaturesShow {
    /// The view
    pub(crate) view: String,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct FeaturesGet {
    /// The view
    pub(crate) view: String,
    /// The entity: each of its columns with a value, as in `customer=c1`
    #[arg(value_name = "COLUMN=VALUE", required = true)]
    pub(crate) entity: Vec<String>,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}
