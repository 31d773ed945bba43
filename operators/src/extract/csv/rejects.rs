//! Leaves out records that are not as the others are, and keeps them for people.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    ops::ControlFlow,
    sync::Arc,
};

use bytes::Bytes;
use pipectl_engine::operator::{Artifact, Evidence, TaskContext, TaskError};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Config,
    file::{Source, dialect, layout},
    flaws::{describe, wrong_field},
};
use crate::support::{
    csv::{Line, cells, each_record},
    files::{Found, io_error},
    location::Temporary,
    plain::Plain,
    text::{count, shortened},
};

/// How much of a record is kept.
const SHOWN: usize = 2_000;

/// How many records may be left out.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rejects {
    /// The task fails when there are more; the first ones are then kept with the failure.
    #[serde(default = "limit")]
    pub(crate) limit: u64,
}

fn limit() -> u64 {
    1_000
}

/// Records that were left out.
pub(super) struct Rejected {
    limit: u64,
    count: u64,
    text: Vec<u8>,
}

/// What becomes of one file.
struct Sieve<'a> {
    source: &'a Source,
    config: &'a Config,
    types: SchemaRef,
    fields: usize,
    rows: u64,
    clean: BufWriter<File>,
}

impl Rejected {
    pub(super) fn new(rejects: Option<Rejects>) -> Self {
        Self {
            limit: rejects.map_or(0, |rejects| rejects.limit),
            count: 0,
            text: b"file,line,reason,record\n".to_vec(),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The file of them.
    pub(super) fn artifact(&self) -> Artifact {
        Artifact {
            name: "rejects.csv".to_owned(),
            media_type: "text/csv".to_owned(),
            content: Bytes::from(self.text.clone()),
            path: None,
        }
    }

    fn add(
        &mut self,
        source: &Source,
        line: u64,
        reason: &str,
        record: &[u8],
    ) -> Result<(), TaskError> {
        self.count += 1;
        let record = String::from_utf8_lossy(record);
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let (file, reason) = (quoted(source.shown()), quoted(reason));
        let row = format!(
            "{file},{line},{reason},{}\n",
            quoted(&shortened(&record, SHOWN))
        );
        self.text.extend(row.into_bytes());
        if self.count <= self.limit {
            return Ok(());
        }
        let limit = count(self.limit, "record");
        Err(TaskError::user(format!(
            "more than {limit} cannot be read; the last one is line {line} of `{}`",
            source.shown()
        ))
        .hint("`rejects.csv` of this failure has them; `rejects: {limit: …}` allows more")
        .with_evidence(Evidence {
            artifacts: vec![self.artifact()],
            ..Evidence::default()
        }))
    }

    /// A copy of the file without the records that cannot be read. `earlier` are the columns of the files before it.
    pub(super) fn sifted(
        &mut self,
        context: &TaskContext,
        config: &Config,
        source: &Source,
        earlier: Option<&SchemaRef>,
    ) -> Result<Source, TaskError> {
        let names = source.names(config)?;
        let declared = source.declared(config, &names, earlier)?;
        // What merely looks like a date may be something else.
        let types = Arc::new(source.types(config, &names, &declared, false)?);
        let temporary = Temporary::new(context)?;
        let full = |error| io_error("write", &temporary.0.display().to_string(), error);
        let mut sieve = Sieve {
            source,
            config,
            types,
            fields: 0,
            rows: 0,
            clean: BufWriter::new(File::create_new(&temporary.0).map_err(full)?),
        };
        let mut stop = None;
        each_record(&source.plain.file.path, dialect(config), |record| {
            Ok(match sieve.sift(record, self)? {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    stop = Some(error);
                    ControlFlow::Break(())
                }
            })
        })
        .map_err(|error| io_error("sift", source.shown(), error))?;
        if let Some(error) = stop {
            return Err(error);
        }
        sieve.clean.flush().map_err(full)?;
        drop(sieve);
        let size = std::fs::metadata(&temporary.0).map_err(full)?.len();
        let file = Found {
            path: temporary.0.clone(),
            size,
            ..source.plain.file.clone()
        };
        let plain = Plain {
            file,
            _made: Some(temporary),
        };
        let layout = layout(context, config, &plain)?
            .map_err(|flaw| describe(&flaw, source.shown(), config))?;
        let mut sifted = Source::new(plain, source.partitions.clone(), layout);
        sifted.guessed.clone_from(&source.guessed);
        Ok(sifted)
    }
}

impl Sieve<'_> {
    fn sift(
        &mut self,
        record: Line<'_>,
        rejected: &mut Rejected,
    ) -> std::io::Result<Result<(), TaskError>> {
        let header = self.rows == 0 && self.config.header;
        if self.rows == 0 {
            self.fields = record.fields;
        }
        let reason = if record.fields == self.fields {
            let cells = cells(record.text, dialect(self.config));
            wrong_field(&cells, &self.types, self.config).filter(|_| !header)
        } else {
            let found = count(record.fields as u64, "field");
            Some(format!("{found}, the first line has {}", self.fields))
        };
        if let Some(reason) = reason {
            return Ok(rejected.add(self.source, record.number, &reason, record.text));
        }
        self.rows += 1;
        self.clean.write_all(record.text)?;
        self.clean.write_all(b"\n")?;
        Ok(Ok(()))
    }
}
