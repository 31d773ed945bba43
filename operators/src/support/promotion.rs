//! When a new version of a model becomes champion, as `train` operators say it.

use pipectl_engine::operator::Promote;
use schemars::JsonSchema;
use serde::Deserialize;

/// When a new version becomes champion. The first version always does.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Promotion<M> {
    /// When it is better by this metric than the champion.
    best: M,
}

impl<M: Copy> Promotion<M> {
    /// The rule for the registry: `this`, or the best by `usual`. `of` says a metric's name, and whether more is better.
    pub(crate) fn rule(
        this: Option<Self>,
        usual: M,
        of: impl Fn(M) -> (&'static str, bool),
    ) -> Promote {
        let (name, greater_is_better) = of(this.map_or(usual, |this| this.best));
        Promote::Best {
            metric: name.to_owned(),
            greater_is_better,
        }
    }
}
