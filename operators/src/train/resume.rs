//! What a search has measured is kept while it goes on, so that an attempt after a killed one measures the rest.

use std::time::Duration;

use pipectl_engine::{
    failpoint,
    operator::{TaskContext, TaskError},
};
use pipectl_models::train::Fit;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep_until},
};

/// Fits that are taken together at most.
const MOST: usize = 1_000;
/// How long nothing is kept for each fit that was kept, so that keeping never takes more than a little of the time.
const PAUSE: Duration = Duration::from_millis(1);

/// What the checkpoint says.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// How often a person has had the run done again: other rows, perhaps.
    redo: u32,
    /// Another version may measure otherwise.
    version: String,
    /// Of every fit its place and, to the bit, its measures.
    fits: Vec<([usize; 3], Vec<u64>)>,
}

/// The fits of a search.
pub(super) struct Fits {
    kept: Kept,
    due: Instant,
}

impl Fits {
    /// What earlier attempts of this run have measured.
    pub(super) async fn load(context: &TaskContext) -> Result<Self, TaskError> {
        let current = Kept {
            redo: context.run.redo,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            fits: Vec::new(),
        };
        let kept = context.checkpoint.load().await?;
        let kept = kept.and_then(|kept| serde_json::from_value::<Kept>(kept).ok());
        let kept =
            kept.filter(|kept| (kept.redo, &kept.version) == (current.redo, &current.version));
        Ok(Self {
            kept: kept.unwrap_or(current),
            due: Instant::now(),
        })
    }

    /// What is known.
    pub(super) fn known(&self) -> Vec<Fit> {
        let fits = self.kept.fits.iter();
        fits.map(|(place, bits)| Fit {
            place: *place,
            measures: bits.iter().map(|bits| f64::from_bits(*bits)).collect(),
        })
        .collect()
    }

    /// Waits for fits and keeps them; false once there are no more.
    pub(super) async fn keep(
        &mut self,
        heard: &mut UnboundedReceiver<Fit>,
        context: &TaskContext,
    ) -> Result<bool, TaskError> {
        sleep_until(self.due).await;
        let mut fresh = Vec::new();
        if heard.recv_many(&mut fresh, MOST).await == 0 {
            return Ok(false);
        }
        for fit in fresh {
            let bits = fit.measures.iter().map(|measure| measure.to_bits());
            self.kept.fits.push((fit.place, bits.collect()));
        }
        let value = serde_json::to_value(&self.kept)
            .map_err(|error| TaskError::bug("what was measured cannot be kept").because(error))?;
        context.checkpoint.save(&value).await?;
        let many = u32::try_from(self.kept.fits.len()).unwrap_or(u32::MAX);
        self.due = Instant::now() + PAUSE * many;
        failpoint::hit("train_fits_kept");
        Ok(true)
    }
}
