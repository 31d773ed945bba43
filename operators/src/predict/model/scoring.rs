//! Rows get their answers, part by part: what is kept, what is added, and which rows are uncertain.

use std::fs::File;

use bytes::Bytes;
use pipectl_engine::{
    dataset::Dataset,
    operator::{Progress, TaskContext, TaskError},
};
use pipectl_models::{
    data::Goal,
    explain::Explainer,
    scorer::{Answer, Model, Unseen},
};
use polars::{
    io::parquet::write::BatchedWriter,
    prelude::{DataFrame, IdxCa, IntoColumn, NamedFrom, ParquetWriter, Series},
};
use tokio_util::sync::CancellationToken;

use super::{Config, MissingColumns};
use crate::support::{
    files::io_failure,
    frame::polars_error,
    location::Temporary,
    model::{Opened, model_error, of_model},
    text::{hint_for_name, list},
};

/// Rows that are explained together: few, as trees take their time.
const EXPLAINED: usize = 4_096;

/// A model at work on the rows of a task.
pub(super) struct Scoring {
    model: Model,
    file: Bytes,
    config: Config,
    explainer: Option<Explainer>,
    progress: Progress,
    cancel: CancellationToken,
    sink: Sink,
    /// The least certain rows until now, in their order.
    uncertain: Option<DataFrame>,
    /// Shares and means, each times the rows that it was told of.
    summary: Vec<(String, f64)>,
    missing: Vec<String>,
    unseen: Unseen,
    rows: usize,
    seen: bool,
}

/// What has become of the rows.
pub(super) struct Scored {
    pub(super) table: Dataset,
    pub(super) uncertain: Option<Dataset>,
    pub(super) summary: Vec<(String, f64)>,
    /// Columns that the model reads and the rows lack.
    pub(super) missing: Vec<String>,
    /// Values that training never saw.
    pub(super) unseen: Unseen,
    pub(super) rows: usize,
}

/// Where rows go.
enum Sink {
    Memory(Option<DataFrame>),
    File {
        file: Temporary,
        writer: Option<Box<BatchedWriter<File>>>,
    },
}

impl Scoring {
    /// # Errors
    /// When the model cannot tell what is asked of it.
    pub(super) fn new(
        opened: Opened,
        config: Config,
        context: &TaskContext,
    ) -> Result<Self, TaskError> {
        let Opened { model, file } = opened;
        let metadata = model.metadata();
        let classes = metadata.classes.len();
        let refuse = |key: &str, message: String| {
            let message = format!("`{key}`: the model `{}` {message}", config.model.0);
            Err(TaskError::user(message))
        };
        if let Some(top) = config.top_k
            && (metadata.goal != Goal::Classes || top > classes)
        {
            return match metadata.goal {
                Goal::Classes => refuse("top_k", format!("has only {classes} classes")),
                _ => refuse("top_k", "tells no classes".to_owned()),
            };
        }
        if config.least_certain.is_some()
            && !matches!(metadata.goal, Goal::Classes | Goal::Anomalies)
        {
            return refuse(
                "least_certain",
                "tells neither classes nor anomalies, of which it could be uncertain".to_owned(),
            );
        }
        Ok(Self {
            model,
            file,
            config,
            explainer: None,
            progress: context.progress.clone(),
            cancel: context.cancel.clone(),
            sink: Sink::Memory(None),
            uncertain: None,
            summary: Vec::new(),
            missing: Vec::new(),
            unseen: Unseen::default(),
            rows: 0,
            seen: false,
        })
    }

    /// Writes the rows to a file, and does not hold them.
    ///
    /// # Errors
    /// When there is no place for it.
    pub(super) fn spill(&mut self, context: &TaskContext) -> Result<(), TaskError> {
        self.sink = Sink::File {
            file: Temporary::new(context)?,
            writer: None,
        };
        Ok(())
    }

    /// Whether there were no rows at all.
    pub(super) fn has_seen_nothing(&self) -> bool {
        !self.seen
    }

    /// Scores some rows.
    ///
    /// # Errors
    /// When the model cannot read them, or a column is there already or is not there.
    pub(super) fn take(&mut self, frame: &DataFrame) -> Result<(), TaskError> {
        if self.cancel.is_cancelled() {
            return Err(TaskError::external("the attempt was stopped"));
        }
        if !self.seen {
            self.begin(frame)?;
        }
        let answer = self
            .model
            .predict_and_count(frame, self.config.threshold, &mut self.unseen)
            .map_err(model_error)?;
        let kept = self.kept(frame)?;
        let mut scored = answer.append_to(&kept).map_err(model_error)?;
        if let (Some(count), Answer::Classes(prediction)) = (self.config.top_k, &answer) {
            for series in prediction.top(count) {
                add(&mut scored, series)?;
            }
        }
        if let Some(count) = self.config.reasons {
            add(&mut scored, self.reasons(frame, &answer, count)?)?;
        }
        for (place, (name, value)) in answer.summary().into_iter().enumerate() {
            #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
            let value = value * frame.height() as f64;
            match self.summary.get_mut(place) {
                Some((_, sum)) => *sum += value,
                None => self.summary.push((name, value)),
            }
        }
        if let Some(count) = self.config.least_certain {
            self.sift(&scored, &answer, count)?;
        }
        self.rows += frame.height();
        self.progress.set(self.rows as u64, None);
        self.sink.take(scored)
    }

    /// What the first rows show of all.
    fn begin(&mut self, frame: &DataFrame) -> Result<(), TaskError> {
        self.seen = true;
        let missing = self.model.missing_columns(frame);
        let refuse = self.config.missing_columns == MissingColumns::Refuse;
        if let [first, ..] = missing.as_slice()
            && refuse
            && self.model.imputes()
        {
            let known = frame.columns().iter().map(|column| column.name().as_str());
            let hint = hint_for_name(first, "the rows have", known);
            let message = format!(
                "the rows lack {}, which the model `{}` reads",
                list(missing.iter().copied()),
                self.config.model.0
            );
            return Err(TaskError::user(message).hint(format!(
                "{hint}; `missing_columns: impute` scores them as if nothing were known of it"
            )));
        }
        self.missing = missing.into_iter().map(str::to_owned).collect();
        if self.config.reasons.is_some() {
            let explainer = Explainer::new(&self.file, &self.model, frame)
                .map_err(|error| of_model(&self.config.model.0, model_error(error)))?;
            self.explainer = Some(explainer);
        }
        Ok(())
    }

    fn kept(&self, frame: &DataFrame) -> Result<DataFrame, TaskError> {
        let Some(keep) = &self.config.keep else {
            return Ok(frame.clone());
        };
        if let Some(wrong) = keep.iter().find(|name| frame.column(name).is_err()) {
            let known = frame.columns().iter().map(|column| column.name().as_str());
            return Err(
                TaskError::user(format!("`keep` names `{wrong}`, which is no column"))
                    .hint(hint_for_name(wrong, "the rows have", known)),
            );
        }
        frame
            .select(keep)
            .map_err(|error| polars_error("keep the columns", &error))
    }

    fn reasons(
        &self,
        frame: &DataFrame,
        answer: &Answer,
        count: usize,
    ) -> Result<Series, TaskError> {
        let mut reasons = Vec::with_capacity(frame.height());
        if let Some(explainer) = &self.explainer {
            for start in (0..frame.height()).step_by(EXPLAINED) {
                if self.cancel.is_cancelled() {
                    return Err(TaskError::external("the attempt was stopped"));
                }
                let length = EXPLAINED.min(frame.height() - start);
                let rows = frame.slice(i64::try_from(start).unwrap_or(i64::MAX), length);
                let effects = explainer
                    .explain(&self.model, &rows, &answer.part(start, length))
                    .map_err(model_error)?;
                reasons.extend((0..length).map(|row| effects.reasons(&rows, row, count)));
            }
        }
        Ok(Series::new("reasons".into(), reasons))
    }

    /// Keeps the least certain rows of those until now and these.
    fn sift(&mut self, scored: &DataFrame, answer: &Answer, count: usize) -> Result<(), TaskError> {
        let threshold = self
            .config
            .threshold
            .unwrap_or(self.model.metadata().threshold);
        let certainty = answer.certainty(threshold).unwrap_or_default();
        let fail = |error| polars_error("pick the uncertain rows", &error);
        let mut rows = scored.clone();
        add(&mut rows, Series::new("certainty".into(), certainty))?;
        if let Some(before) = self.uncertain.take() {
            rows = before.vstack(&rows).map_err(fail)?;
        }
        let certainty = rows
            .column("certainty")
            .and_then(|column| column.f64().cloned());
        let certainty: Vec<f64> = certainty.map_err(fail)?.into_no_null_iter().collect();
        let mut order: Vec<u32> = (0u32..).take(rows.height()).collect();
        // Of equally certain rows those that came first.
        order.sort_by(|a, b| certainty[*a as usize].total_cmp(&certainty[*b as usize]));
        order.truncate(count);
        let order = IdxCa::from_vec("row".into(), order);
        self.uncertain = Some(rows.take(&order).map_err(fail)?);
        Ok(())
    }

    /// All that has become of the rows.
    ///
    /// # Errors
    /// When the file cannot be written to its end.
    pub(super) fn finish(&mut self) -> Result<Scored, TaskError> {
        #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
        let rows = self.rows.max(1) as f64;
        let summary = std::mem::take(&mut self.summary).into_iter();
        Ok(Scored {
            table: std::mem::replace(&mut self.sink, Sink::Memory(None)).finish()?,
            uncertain: self.uncertain.take().map(Dataset::from_frame),
            summary: summary.map(|(name, sum)| (name, sum / rows)).collect(),
            missing: std::mem::take(&mut self.missing),
            unseen: std::mem::take(&mut self.unseen),
            rows: self.rows,
        })
    }
}

impl Sink {
    fn take(&mut self, mut frame: DataFrame) -> Result<(), TaskError> {
        match self {
            Self::Memory(rows) => {
                *rows = Some(frame);
                Ok(())
            }
            Self::File { file, writer } => {
                let fail = |error| polars_error("write the scored rows", &error);
                if writer.is_none() {
                    let opened = File::create(&file.0)
                        .map_err(|error| io_failure("write the scored rows", error))?;
                    let made = ParquetWriter::new(opened).batched(frame.schema());
                    *writer = Some(Box::new(made.map_err(fail)?));
                }
                frame.align_chunks();
                match writer {
                    Some(writer) => writer.write_batch(&frame).map_err(fail),
                    None => Ok(()),
                }
            }
        }
    }

    fn finish(self) -> Result<Dataset, TaskError> {
        match self {
            Self::Memory(rows) => Ok(Dataset::from_frame(rows.unwrap_or_default())),
            Self::File { mut file, writer } => {
                let fail = |error| polars_error("write the scored rows", &error);
                if let Some(writer) = writer {
                    writer.finish().map_err(fail)?;
                }
                Dataset::from_file(std::mem::take(&mut file.0)).map_err(fail)
            }
        }
    }
}

/// Adds a column of ours.
fn add(frame: &mut DataFrame, series: Series) -> Result<(), TaskError> {
    let name = series.name().clone();
    if frame.column(&name).is_ok() {
        return Err(TaskError::user(format!(
            "the input already has a column `{name}`: rename it before, or leave it out by `keep`"
        )));
    }
    frame
        .with_column(series.into_column())
        .map(drop)
        .map_err(|error| polars_error("add a column", &error))
}
