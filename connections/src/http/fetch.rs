//! Brings a file from a web server into a local one, without ever having it in memory.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use pipectl_engine::{operator::TaskError, time::Timestamp};

use super::{
    answer::{Answer, shown},
    call::Call,
    client::HttpClient,
    exchange::{late, opened, unread, within},
    failure::Failure,
    patience::{Caller, Patience},
};
use crate::{disk::blocking, files::io_failure};

/// How many bytes of what is no success are read.
pub(super) const LARGEST_COMPLAINT: u64 = 64 * 1024;
/// How much is written at once.
const PART: usize = 1024 * 1024;

/// Where the body of a success goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Into<'a> {
    /// Into the answer.
    Memory,
    /// Into a file, in place of what is in it.
    File(&'a Path),
}

/// A file that was brought here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its address without credentials and query.
    pub shown: String,
    /// Its size.
    pub size: u64,
    /// When it was last changed, when the server says so.
    pub modified: Option<Timestamp>,
    /// What the server knows this version of it by (`ETag`), when it says so.
    pub tag: Option<String>,
    /// What the server says that it is (`Content-Type`).
    pub kind: Option<String>,
}

impl HttpClient {
    /// Brings what a call answers into a file. The patience's `timeout` is that for each part of it.
    ///
    /// # Errors
    /// When the answer is no success; those of [`HttpClient::send`]; and when the disk refuses.
    pub async fn fetch(
        &self,
        call: &Call,
        file: &Path,
        patience: &Patience,
        caller: &Caller<'_>,
    ) -> Result<Fetched, TaskError> {
        let answer = self.send_into(call, Into::File(file), patience, caller);
        let answer = answer.await?.success()?;
        let size = std::fs::metadata(file)
            .map_err(|error| io_failure(&format!("read {}", file.display()), error))?
            .len();
        let modified = answer.header("last-modified");
        let modified = modified.and_then(|text| chrono::DateTime::parse_from_rfc2822(text).ok());
        Ok(Fetched {
            shown: shown(&self.url(call)?),
            size,
            modified: modified.map(|time| time.to_utc()),
            tag: answer.header("etag").map(ToOwned::to_owned),
            kind: answer.header("content-type").map(ToOwned::to_owned),
        })
    }
}

/// Writes a body into a file, unpacked.
pub(super) async fn into_file(
    answer: &Answer,
    mut parts: impl Stream<Item = reqwest::Result<Bytes>> + Unpin,
    file: &Path,
    patience: &Patience,
) -> Result<(), Failure> {
    let limit = patience.max_bytes;
    let local = {
        let shown = file.display().to_string();
        move |error| Failure::user(io_failure(&format!("write {shown}"), error))
    };
    let target = BufWriter::new(File::create(file).map_err(&local)?);
    let mut body = opened(answer, target, limit)?;
    let packed = answer.header("content-encoding").is_some();
    let (asked, mut waiting, mut ended) = (answer.asked.clone(), BytesMut::new(), false);
    while !ended {
        match within(patience.timeout, parts.next()).await {
            Err(()) => return Err(late(&asked, patience.timeout)),
            Ok(Some(part)) => {
                waiting.extend_from_slice(&part.map_err(|error| Failure::of(&asked, error))?);
            }
            Ok(None) => ended = true,
        }
        if waiting.len() < PART && !ended {
            continue;
        }
        let part = waiting.split().freeze();
        // What is written may be waited for; what is read is unpacked there too.
        let (taken, result) = blocking(move || {
            let result = body.take(&part);
            Ok((body, result))
        })
        .await
        .map_err(Failure::user)?;
        body = taken;
        result.map_err(|error| match error.raw_os_error() {
            Some(_) => local(error),
            None => unread(&asked, limit, &error),
        })?;
    }
    let finish = move || {
        let finished = body.finish();
        Ok(finished.and_then(|mut target| target.flush()))
    };
    let finished = blocking(finish).await.map_err(Failure::user)?;
    finished.map_err(|error| match error.raw_os_error() {
        None if packed => unread(&asked, limit, &error),
        _ => local(error),
    })
}
