//! Artifacts in a bucket: on a real S3 server, in the test's process or the one that `PIPECTL_TEST_S3_URL` names.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{fs, path::Path};

use bytes::Bytes;
use pipectl_engine::{
    env::Env,
    store::{ArtifactStore, StoreError},
};
use pipectl_store::ObjectArtifacts;
use pipectl_test_support::{TestBucket, TestS3};

fn env(place: &TestBucket) -> Env {
    Env::default().with(place.environment().to_vec())
}

fn open(place: &TestBucket, cache: &Path) -> ObjectArtifacts {
    ObjectArtifacts::open(place.address(), cache, &env(place)).unwrap()
}

#[tokio::test]
async fn what_is_put_is_got() {
    let (place, cache) = (TestBucket::new(), tempfile::tempdir().unwrap());
    for place in [place.clone(), place.below("a team/ü+x")] {
        let store = open(&place, cache.path());
        for key in ["runs/1/data.csv", "runs/1/mit ümlaut + plus.csv"] {
            store.put(key, Bytes::from("content")).await.unwrap();
            assert_eq!(store.get(key).await.unwrap(), "content", "{key}");
            let copy = store.local(key).await.unwrap();
            assert_eq!(fs::read_to_string(&copy).unwrap(), "content");
            assert_eq!(store.local(key).await.unwrap(), copy);
        }
    }
}

#[tokio::test]
async fn a_copy_of_what_was_replaced_is_not_used() {
    let (place, cache) = (TestBucket::new(), tempfile::tempdir().unwrap());
    let store = open(&place, cache.path());
    for content in ["first", "second"] {
        store.put("a.csv", Bytes::from(content)).await.unwrap();
        let copy = store.local("a.csv").await.unwrap();
        assert_eq!(fs::read_to_string(copy).unwrap(), content);
    }
}

#[tokio::test]
async fn a_large_file_goes_in_parts() {
    let (place, cache) = (TestBucket::new(), tempfile::tempdir().unwrap());
    let store = open(&place, cache.path());
    let content: Vec<u8> = (0..=250).cycle().take(33 * 1024 * 1024).collect();
    let file = store.temporary();
    fs::write(&file, &content).unwrap();
    store.put_file("large", file.clone()).await.unwrap();
    assert!(!file.exists());
    assert!(store.get("large").await.unwrap() == content);
    assert!(fs::read(store.local("large").await.unwrap()).unwrap() == content);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let (place, cache) = (TestBucket::new(), tempfile::tempdir().unwrap());
    let store = open(&place, cache.path());
    assert!(matches!(store.get("a").await, Err(StoreError::NotFound(_))));
    assert!(matches!(
        store.local("a").await,
        Err(StoreError::NotFound(_))
    ));
}

/// What a store at this address answers to a read and a write.
async fn refused(address: &str, env: &Env) -> Vec<StoreError> {
    let cache = tempfile::tempdir().unwrap();
    let store = ObjectArtifacts::open(address, cache.path(), env).unwrap();
    vec![
        store.put("a/b", Bytes::from("content")).await.unwrap_err(),
        store.get("a/b").await.unwrap_err(),
        store.local("a/b").await.unwrap_err(),
    ]
}

#[tokio::test]
async fn a_server_that_refuses_is_quoted_and_its_keys_are_not() {
    let server = TestS3::start();
    let place = server.bucket();
    let wrong = env(&place).with([("AWS_SECRET_ACCESS_KEY".to_owned(), "hunter2".to_owned())]);
    for error in refused(place.address(), &wrong).await {
        let text = told(&error);
        assert!(matches!(error, StoreError::Invalid { .. }), "{text}");
        assert!(text.contains("AWS_SECRET_ACCESS_KEY"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let unknown = env(&place).with([("AWS_ACCESS_KEY_ID".to_owned(), "nobody".to_owned())]);
    for error in refused(place.address(), &unknown).await {
        assert!(told(&error).contains("AWS_ACCESS_KEY_ID"), "{error}");
    }
    let nowhere = place.address().replace("tests", "nowhere");
    let errors = refused(&nowhere, &env(&place)).await;
    let text = told(&errors[0]);
    assert!(text.contains("NoSuchBucket"), "{text}");
    assert!(text.contains("s3://nowhere"), "{text}");
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_and_comes_back() {
    let mut server = TestS3::start();
    let (place, cache) = (server.bucket(), tempfile::tempdir().unwrap());
    let store = open(&place, cache.path());
    store.put("a", Bytes::from("content")).await.unwrap();
    let (address, variables) = (place.address().to_owned(), env(&place));
    let errors = server.while_away(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let work = move || runtime.block_on(refused(&address, &variables));
        std::thread::spawn(work).join().unwrap()
    });
    for error in errors {
        let text = told(&error);
        assert!(matches!(error, StoreError::Unavailable { .. }), "{text}");
        assert!(text.contains("refused"), "{text}");
    }
    assert_eq!(store.get("a").await.unwrap(), "content");
}

/// The message with its causes.
fn told(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
