//! What a backfill makes: a run for each interval of a stretch of the past.

use pipectl_engine::{
    failpoint,
    id::RunId,
    operator::Interval,
    plan::Plan,
    runner::Redo,
    state::RunState,
    store::{
        Backfill, BackfillState, NewRun, PipelineVersion, Reprocess, RunKind, RunRecord, Store,
        StoreError,
    },
    time::Timestamp,
};
use serde_json::{Map, Value, json};

use crate::desk::{interval_key, queued};

/// What is wished for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// From here (included)
    pub from: Timestamp,
    /// to here (excluded).
    pub to: Timestamp,
    /// How many of its runs may be under way at once; the pipeline's own limit holds too.
    pub max_active: u32,
    /// What becomes of intervals that have a run.
    pub reprocess: Reprocess,
    /// Whether the last interval comes first.
    pub backwards: bool,
    /// Whether pipelines that run `after` this one are started by its runs too.
    pub cascade: bool,
    /// The runs' parameters.
    pub params: Map<String, Value>,
}

/// What it comes to.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The backfill.
    pub backfill: Backfill,
    /// Runs to be made.
    pub runs: Vec<NewRun>,
    /// Runs to be done again.
    pub again: Vec<(RunId, Redo, Interval)>,
    /// Intervals that are left as they are, because they have a run.
    pub kept: Vec<Interval>,
}

/// Why a backfill cannot be.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The pipeline has no intervals.
    #[error("`{0}` has no intervals: it has neither a schedule in time nor `interval:`")]
    NoIntervals(String),
    /// No interval lies within the stretch.
    #[error("no interval of `{pipeline}` that is over lies between {from} and {to}")]
    Nothing {
        /// The pipeline.
        pipeline: String,
        /// From
        from: String,
        /// to.
        to: String,
    },
    /// The parameters do not fit.
    #[error("{0}")]
    Params(String),
    /// The history failed.
    #[error("the run history failed")]
    Store(#[from] StoreError),
}

/// What a backfill would do; nothing is written.
///
/// # Errors
/// When there is nothing to be done, or the history cannot be read.
pub async fn preview(
    store: &dyn Store,
    plan: &Plan,
    wish: &Wish,
    now: Timestamp,
) -> Result<Preview, BackfillError> {
    let cadence = plan
        .cadence()
        .ok_or_else(|| BackfillError::NoIntervals(plan.name.to_string()))?;
    // An interval that is not over yet has no complete data.
    let mut intervals: Vec<Interval> = cadence
        .intervals(wish.from, wish.to)
        .take_while(|interval| interval.end <= now)
        .collect();
    if intervals.is_empty() {
        let shown = |moment: Timestamp| moment.with_timezone(&plan.zone()).to_rfc3339();
        return Err(BackfillError::Nothing {
            pipeline: plan.name.to_string(),
            from: shown(wish.from),
            to: shown(wish.to),
        });
    }
    if wish.backwards {
        intervals.reverse();
    }
    let params = plan
        .params(&wish.params)
        .map_err(|error| BackfillError::Params(error.to_string()))?;
    let backfill = Backfill {
        id: RunId::new(now).uuid(),
        pipeline: plan.name.to_string(),
        from: wish.from,
        to: wish.to,
        max_active: wish.max_active,
        reprocess: wish.reprocess,
        backwards: wish.backwards,
        cascade: wish.cascade,
        state: BackfillState::Running,
        created: now,
    };
    let mut preview = Preview {
        backfill,
        runs: Vec::new(),
        again: Vec::new(),
        kept: Vec::new(),
    };
    for interval in intervals {
        let key = interval_key(interval);
        match store.triggered(&plan.name, &key).await? {
            None => {
                let run = queued(plan, RunKind::Backfill, key, Some(interval), now)
                    .map_err(BackfillError::Params)?;
                preview.runs.push(NewRun {
                    params: params.clone(),
                    backfill: Some(preview.backfill.id),
                    trigger: json!({"cascade": wish.cascade}),
                    ..run
                });
            }
            Some(record) => match redo(plan, wish.reprocess, &record) {
                Some(redo) => preview.again.push((record.run.id, redo, interval)),
                None => preview.kept.push(interval),
            },
        }
    }
    Ok(preview)
}

/// Writes a backfill down: from then on daemons take its runs.
///
/// # Errors
/// When the history cannot be written.
pub async fn create(store: &dyn Store, plan: &Plan, preview: &Preview) -> Result<(), StoreError> {
    store.put_version(&PipelineVersion::of(plan)).await?;
    let again: Vec<_> = preview
        .again
        .iter()
        .map(|(run, redo, _)| (*run, *redo))
        .collect();
    failpoint::hit("before_backfill");
    store
        .create_backfill(&preview.backfill, &preview.runs, &again, &plan.source.hash)
        .await?;
    failpoint::hit("after_backfill");
    Ok(())
}

/// What is done again of a run. Everything, as `plan` says it: its loads take effect anew.
fn redo(plan: &Plan, reprocess: Reprocess, record: &RunRecord) -> Option<Redo> {
    let state = record.state;
    let wanted = match reprocess {
        Reprocess::None => false,
        Reprocess::Failed => matches!(state, RunState::Failed | RunState::Cancelled),
        Reprocess::Completed => state.is_final(),
    };
    wanted.then_some(if record.run.version == plan.source.hash {
        Redo::All
    } else {
        Redo::Anew
    })
}
