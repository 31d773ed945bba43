//! `s3s-fs` with what a real server does and it does not: conditions that hold when writers race, tags in listings, `304`,
//! short ranges, buckets that are not there; and a webhook.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64, atomic::Ordering},
    time::SystemTime,
};

use async_trait::async_trait;
use axum::body::Bytes;
use futures::{Stream, StreamExt as _, stream};
use s3s::{
    S3, S3Request, S3Response, S3Result,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput,
        CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteObjectInput,
        DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, ETag, GetObjectInput,
        GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput,
        ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
        ListPartsInput, ListPartsOutput, Object, PutObjectInput, PutObjectOutput, Range,
        StreamingBlob, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput,
        UploadPartOutput,
    },
    s3_error,
};
use s3s_fs::FileSystem;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

/// What the server remembers, also while it is away.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) listings: AtomicU64,
    pub(super) hook: Mutex<Option<String>>,
    pub(super) folders: Mutex<Vec<String>>,
    tags: Mutex<HashMap<(String, String), ETag>>,
}

/// How much of an object is sent at once; the server would send each page of its file by itself.
const PART: usize = 256 * 1024;

fn in_larger_parts(
    body: StreamingBlob,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + Sync {
    stream::unfold(Some(body), |body| async {
        let (mut body, mut part) = (body?, Vec::new());
        while part.len() < PART {
            match body.next().await {
                Some(Ok(more)) => part.extend_from_slice(&more),
                Some(Err(error)) => return Some((Err(io::Error::other(error)), None)),
                None if part.is_empty() => return None,
                None => return Some((Ok(part.into()), None)),
            }
        }
        Some((Ok(part.into()), Some(body)))
    })
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The mended server.
#[derive(Debug)]
pub(super) struct Mended {
    inner: FileSystem,
    root: PathBuf,
    writing: tokio::sync::Mutex<()>,
    state: Arc<State>,
}

impl Mended {
    pub(super) fn new(root: &Path, state: Arc<State>) -> io::Result<Self> {
        let inner = FileSystem::new(root)
            .map_err(|error| io::Error::other(format!("{}: {error:?}", root.display())))?;
        Ok(Self {
            inner,
            root: root.to_owned(),
            writing: tokio::sync::Mutex::default(),
            state,
        })
    }

    fn known(&self, bucket: &str) -> S3Result<()> {
        if self.root.join(bucket).is_dir() {
            return Ok(());
        }
        Err(s3_error!(NoSuchBucket))
    }

    /// A key that is a directory on our disk is no object.
    fn object(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        self.known(bucket)?;
        let path = self.root.join(bucket).join(key);
        if path.is_dir() {
            return Err(s3_error!(NoSuchKey));
        }
        Ok(path)
    }

    #[expect(
        clippy::default_trait_access,
        reason = "the fields' types are those of a crate that is not named here"
    )]
    async fn tag(&self, bucket: &str, key: &str) -> Option<ETag> {
        let place = (bucket.to_owned(), key.to_owned());
        let known = lock(&self.state.tags).get(&place).cloned();
        if known.is_some() {
            return known;
        }
        let input = HeadObjectInput::builder()
            .bucket(bucket.to_owned())
            .key(key.to_owned())
            .build()
            .ok()?;
        let request = S3Request {
            input,
            method: Default::default(),
            uri: Default::default(),
            headers: Default::default(),
            extensions: Default::default(),
            credentials: None,
            region: None,
            service: None,
            trailing_headers: None,
        };
        let tag = self.inner.head_object(request).await.ok()?.output.e_tag?;
        lock(&self.state.tags).insert(place, tag.clone());
        Some(tag)
    }

    async fn tagged(&self, bucket: &str, objects: Option<&mut Vec<Object>>) {
        for object in objects.into_iter().flatten() {
            if let Some(key) = &object.key {
                object.e_tag = self.tag(bucket, key).await;
            }
        }
    }

    fn folders(&self, prefix: &str) -> Vec<Object> {
        let folders = lock(&self.state.folders);
        let below = folders.iter().filter(|key| key.starts_with(prefix));
        let object = |key: &String| Object {
            key: Some(key.clone()),
            size: Some(0),
            last_modified: Some(SystemTime::UNIX_EPOCH.into()),
            ..Object::default()
        };
        below.map(object).collect()
    }

    fn changed(&self, bucket: &str, key: &str) {
        lock(&self.state.tags).remove(&(bucket.to_owned(), key.to_owned()));
    }

    async fn tell(&self, bucket: &str, key: &str, event: &str) {
        self.changed(bucket, key);
        let Some(hook) = lock(&self.state.hook).clone() else {
            return;
        };
        let (host, path) = hook.split_once('/').unwrap_or((&hook, ""));
        let encoded = encoded(key);
        let body = format!(
            r#"{{"EventName":"{event}","Key":"{bucket}/{encoded}","Records":[{{"eventVersion":"2.0","eventSource":"minio:s3","eventName":"{event}","s3":{{"bucket":{{"name":"{bucket}"}},"object":{{"key":"{encoded}"}}}}}}]}}"#
        );
        let request = format!(
            "POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        // Nobody promises that notifications arrive.
        if let Ok(mut stream) = TcpStream::connect(host).await {
            drop(stream.write_all(request.as_bytes()).await);
        }
    }
}

/// As notifications write keys: `+` for a space, the rest by percent.
fn encoded(key: &str) -> String {
    let mut text = String::new();
    for byte in key.bytes() {
        match byte {
            b' ' => text.push('+'),
            b'/' | b'.' | b'-' | b'_' => text.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => text.push(byte.into()),
            _ => {
                // Writing to a string cannot fail.
                let _written = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

type Answer<T> = S3Result<S3Response<T>>;

#[async_trait]
impl S3 for Mended {
    async fn get_object(&self, mut request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let path = self.object(&request.input.bucket, &request.input.key)?;
        if let (Some(Range::Suffix { length }), Ok(about)) =
            (&mut request.input.range, std::fs::metadata(path))
        {
            *length = (*length).min(about.len());
            if about.len() == 0 {
                request.input.range = None;
            }
        }
        let unless = request.input.if_none_match.clone();
        let only = request.input.if_match.clone();
        let mut found = self.inner.get_object(request).await?;
        let body = found.output.body.take();
        found.output.body = body.map(|body| StreamingBlob::wrap(in_larger_parts(body)));
        let tag = found.output.e_tag.as_ref();
        if unless.is_some_and(|unless| unless.as_etag() == tag && tag.is_some()) {
            return Err(s3_error!(NotModified));
        }
        if only.is_some_and(|only| only.as_etag().is_some_and(|only| Some(only) != tag)) {
            return Err(s3_error!(PreconditionFailed));
        }
        Ok(found)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        self.object(&request.input.bucket, &request.input.key)?;
        self.inner.head_object(request).await
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        self.inner.head_bucket(request).await
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        self.known(&bucket)?;
        let answer = {
            let _one = self.writing.lock().await;
            self.inner.put_object(request).await?
        };
        self.tell(&bucket, &key, "s3:ObjectCreated:Put").await;
        Ok(answer)
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        self.known(&bucket)?;
        let answer = {
            let _one = self.writing.lock().await;
            self.inner.copy_object(request).await?
        };
        self.tell(&bucket, &key, "s3:ObjectCreated:Copy").await;
        Ok(answer)
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> Answer<DeleteObjectOutput> {
        self.known(&request.input.bucket)?;
        self.changed(&request.input.bucket, &request.input.key);
        self.inner.delete_object(request).await
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> Answer<DeleteObjectsOutput> {
        for object in &request.input.delete.objects {
            self.changed(&request.input.bucket, &object.key);
        }
        self.inner.delete_objects(request).await
    }

    async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> Answer<ListObjectsOutput> {
        self.state.listings.fetch_add(1, Ordering::Relaxed);
        let bucket = request.input.bucket.clone();
        let mut answer = self.inner.list_objects(request).await?;
        self.tagged(&bucket, answer.output.contents.as_mut()).await;
        Ok(answer)
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> Answer<ListObjectsV2Output> {
        self.state.listings.fetch_add(1, Ordering::Relaxed);
        let bucket = request.input.bucket.clone();
        let (prefix, deep) = (
            request.input.prefix.clone(),
            request.input.delimiter.is_none(),
        );
        let mut answer = self.inner.list_objects_v2(request).await?;
        self.tagged(&bucket, answer.output.contents.as_mut()).await;
        if deep {
            let folders = self.folders(&prefix.unwrap_or_default());
            answer
                .output
                .contents
                .get_or_insert_default()
                .extend(folders);
        }
        Ok(answer)
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        self.known(&request.input.bucket)?;
        self.inner.create_multipart_upload(request).await
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        self.inner.upload_part(request).await
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> Answer<UploadPartCopyOutput> {
        self.inner.upload_part_copy(request).await
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        self.inner.list_parts(request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        let answer = {
            let _one = self.writing.lock().await;
            self.inner.complete_multipart_upload(request).await?
        };
        self.tell(&bucket, &key, "s3:ObjectCreated:CompleteMultipartUpload")
            .await;
        Ok(answer)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        self.inner.abort_multipart_upload(request).await
    }
}
