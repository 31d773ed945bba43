//! Buckets and directories that are used like them, on a real S3 server: in the test's process, or the one that
//! `PIPECTL_TEST_S3_URL` names.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{path::Path, time::Duration};

use bytes::Bytes;
use pipectl_connections::{
    Bucket, Connector, Restored, Settled, list_many, restore_thing, settle_thing, things,
};
use pipectl_engine::{
    operator::{AfterSuccess, Fault, TaskError, Thing, Wait, testing::TestProject},
    project::Project,
    time::{Clock as _, SystemClock},
};
use pipectl_test_support::{TestBucket, TestS3};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

/// A project whose `lake` is a bucket, and one whose `lake` is a directory.
fn projects() -> [TestProject; 2] {
    [
        on(&TestBucket::new()),
        TestProject::new().with_connection("lake", "file:lake"),
    ]
}

fn on(place: &TestBucket) -> TestProject {
    TestProject::new()
        .with_connection("lake", place.address())
        .with_environment(place.environment())
}

async fn lake(project: &TestProject) -> Bucket {
    let context = project.context();
    let opened = Connector::default().bucket(&context.project, "lake").await;
    opened.unwrap()
}

async fn keys(bucket: &Bucket, pattern: &str) -> Vec<String> {
    let found = bucket.list(pattern).await.unwrap();
    found.into_iter().map(|entry| entry.key).collect()
}

const KEYS: [&str; 6] = [
    "a.csv",
    "in/a b+c.csv",
    "in/deep/ü%41.csv",
    "in/x.csv",
    "in/x.txt",
    "inn/x.csv",
];

#[tokio::test]
async fn patterns_name_keys() {
    for project in projects() {
        let bucket = lake(&project).await;
        assert!(keys(&bucket, "**").await.is_empty());
        for key in KEYS {
            bucket.put(key, Bytes::from(key.to_owned())).await.unwrap();
        }
        for (pattern, expected) in [
            ("**", KEYS.to_vec()),
            ("*", vec!["a.csv"]),
            ("in/*.csv", vec!["in/a b+c.csv", "in/x.csv"]),
            (
                "in/**/*.csv",
                vec!["in/a b+c.csv", "in/deep/ü%41.csv", "in/x.csv"],
            ),
            ("in/x.csv", vec!["in/x.csv"]),
            ("in", vec![]),
            ("nowhere/*", vec![]),
        ] {
            assert_eq!(keys(&bucket, pattern).await, expected, "{pattern}");
        }
        for key in KEYS {
            assert_eq!(bucket.get(key).await.unwrap(), key);
        }
    }
}

#[tokio::test]
async fn folders_of_consoles_are_no_objects() {
    let server = TestS3::start();
    let bucket = lake(&on(&server.bucket())).await;
    server.folder("in/deep");
    for (key, content) in [("in/deep/a.csv", "x"), ("in/empty", "")] {
        bucket.put(key, Bytes::from(content)).await.unwrap();
    }
    assert_eq!(keys(&bucket, "in/**").await, ["in/deep/a.csv", "in/empty"]);
}

#[tokio::test]
async fn an_object_is_written_copied_and_removed() {
    for project in projects() {
        let bucket = lake(&project).await;
        let large: Vec<u8> = (0..=250).cycle().take(17 * 1024 * 1024).collect();
        let file = project.write("large", &large);
        bucket.put_file("out/large", &file).await.unwrap();
        bucket.copy("out/large", "out/deep/copy").await.unwrap();
        bucket.delete("out/large").await.unwrap();
        bucket.delete("out/large").await.unwrap();
        assert_eq!(bucket.head("out/large").await.unwrap(), None);
        let entry = bucket.head("out/deep/copy").await.unwrap().unwrap();
        assert_eq!(entry.size, large.len() as u64);
        let fetched = project.root().join("fetched");
        bucket.fetch(&entry, &fetched).await.unwrap();
        assert!(std::fs::read(&fetched).unwrap() == large);
        assert_eq!(keys(&bucket, "**").await, ["out/deep/copy"]);
    }
}

#[tokio::test]
async fn a_newer_object_is_not_fetched_for_an_older_one() {
    let project = on(&TestBucket::new());
    let bucket = lake(&project).await;
    bucket.put("a", Bytes::from("old")).await.unwrap();
    let entry = bucket.head("a").await.unwrap().unwrap();
    bucket.put("a", Bytes::from("new")).await.unwrap();
    let fetched = bucket.fetch(&entry, &project.root().join("x")).await;
    let error = fetched.unwrap_err();
    assert!(
        error.message.ends_with("was replaced while we were at it"),
        "{error}"
    );
    assert!(error.retryable);
}

#[tokio::test]
async fn an_object_that_changes_or_goes_while_it_is_read_is_told() {
    let project = on(&TestBucket::new());
    let bucket = lake(&project).await;
    // Large enough to be read in parts.
    let large: Vec<u8> = (0..=250).cycle().take(20 * 1024 * 1024).collect();
    let file = project.write("large", &large);
    bucket.put_file("a", &file).await.unwrap();
    let entry = bucket.head("a").await.unwrap().unwrap();
    let fetched = project.root().join("whole");
    bucket.fetch(&entry, &fetched).await.unwrap();
    assert!(std::fs::read(&fetched).unwrap() == large);
    bucket.put("a", Bytes::from("new")).await.unwrap();
    let error = bucket.fetch(&entry, &project.root().join("x")).await;
    let error = error.unwrap_err();
    assert!(
        error.message.ends_with("was replaced while we were at it"),
        "{error}"
    );
    bucket.delete("a").await.unwrap();
    let error = bucket.fetch(&entry, &project.root().join("y")).await;
    let error = error.unwrap_err();
    assert!(
        error.message.ends_with("was removed while we were at it"),
        "{error}"
    );
    assert!(error.retryable);
}

#[tokio::test]
async fn what_others_have_written_meanwhile_is_not_written_over() {
    for project in projects() {
        let bucket = lake(&project).await;
        if bucket.root().is_some() {
            continue;
        }
        bucket
            .put_after("list", Bytes::from("1"), None)
            .await
            .unwrap();
        let first = bucket.head("list").await.unwrap().unwrap();
        let error = bucket.put_after("list", Bytes::from("x"), None).await;
        assert!(error.unwrap_err().retryable);
        let put = |text: &'static str, tag: String| {
            let bucket = bucket.clone();
            async move {
                bucket
                    .put_after("list", Bytes::from(text), Some(&tag))
                    .await
            }
        };
        put("2", first.tag.clone()).await.unwrap();
        let error = put("3", first.tag).await.unwrap_err();
        assert!(
            error.message.ends_with("was replaced while we were at it"),
            "{error}"
        );
        assert_eq!(bucket.get("list").await.unwrap(), "2");
    }
}

async fn refusal(project: &TestProject) -> TaskError {
    lake(project).await.list("in/*").await.unwrap_err()
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let mut server = TestS3::start();
    let place = server.bucket();
    let other = |name: &str, value: &str| {
        on(&place).with_environment(&[(name.to_owned(), value.to_owned())])
    };
    let nowhere = place.address().replace("tests", "nowhere");
    let nowhere = on(&place).with_connection("lake", &nowhere);
    let shown = format!("`lake` (s3://tests at {})", server.endpoint());
    let hint = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    for (project, message, hint) in [
        (
            other("AWS_SECRET_ACCESS_KEY", "hunter2"),
            format!("cannot list {shown}: "),
            hint,
        ),
        (
            other("AWS_ACCESS_KEY_ID", "nobody"),
            format!("cannot list {shown}: "),
            hint,
        ),
        (
            nowhere,
            format!("cannot list {}: ", shown.replace("tests", "nowhere")),
            "create the bucket, or name another one",
        ),
    ] {
        let error = refusal(&project).await;
        let text = error.full_message();
        println!("{text}\n  hint: {:?}", error.hint);
        assert_eq!(
            (error.fault, error.retryable),
            (Fault::User, false),
            "{text}"
        );
        assert!(text.starts_with(&message), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(error.hint.unwrap().starts_with(hint));
    }
    let bucket = lake(&on(&place)).await;
    let error = bucket.get("not/there").await.unwrap_err();
    println!("{}", error.full_message());
    let error = server.while_away(|| {
        let place = place.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(refusal(&on(&place)))
        })
        .join()
        .unwrap()
    });
    let text = error.full_message();
    println!("{text}\n  hint: {:?}", error.hint);
    assert_eq!((error.fault, error.retryable), (Fault::External, true));
    assert!(text.to_lowercase().contains("connection refused"), "{text}");
}

#[tokio::test]
async fn a_new_object_is_told_as_minio_does() {
    let (server, hook) = (
        TestS3::start(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    server.notify(&format!("{}/hook", hook.local_addr().unwrap()));
    let bucket = lake(&on(&server.bucket())).await;
    let heard = async {
        let (mut stream, _) = hook.accept().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    let (put, heard) = tokio::join!(bucket.put("in/a ü.csv", Bytes::from("x")), heard);
    put.unwrap();
    assert!(heard.starts_with("POST /hook HTTP/1.1\r\n"), "{heard}");
    assert!(
        heard.contains("\"EventName\":\"s3:ObjectCreated:Put\""),
        "{heard}"
    );
    assert!(heard.contains("\"key\":\"in/a+%C3%BC.csv\""), "{heard}");
}

#[tokio::test]
async fn keys_lead_nowhere_else() {
    for project in projects() {
        let bucket = lake(&project).await;
        for key in ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a\nb"] {
            let error = bucket.put(key, Bytes::new()).await.unwrap_err();
            assert!(error.message.ends_with("is no key of `lake`"), "{error}");
        }
    }
}

fn wait(connection: Option<&str>, pattern: &str) -> Wait {
    Wait::Things {
        connection: connection.map(ToOwned::to_owned),
        pattern: pattern.to_owned(),
        poll: Duration::from_secs(60),
        settle: Duration::ZERO,
    }
}

async fn sensed(project: &Project, wait: &Wait) -> Vec<Thing> {
    let now = SystemClock.now();
    let sight = things(&Connector::default(), project, wait, now).await;
    sight.unwrap().things
}

#[tokio::test]
async fn patterns_below_one_prefix_share_a_listing() {
    let server = TestS3::start();
    let project = on(&server.bucket());
    let bucket = lake(&project).await;
    for key in ["in/a.csv", "in/b.txt", "in/deep/c.csv", "out/d.csv"] {
        bucket.put(key, Bytes::from("x")).await.unwrap();
    }
    let waits: Vec<Wait> = ["in/*.csv", "in/*.txt", "in/**/*.csv", "in/a.csv", "out/*"]
        .map(|pattern| wait(Some("lake"), pattern))
        .into();
    let before = server.listings();
    let connector = Connector::default();
    let context = project.context();
    let found = list_many(&connector, &context.project, &waits, SystemClock.now()).await;
    assert_eq!(server.listings() - before, 2);
    let names: Vec<Vec<String>> = found
        .into_iter()
        .map(|found| {
            let things = found.unwrap().sight.things.into_iter();
            things.map(|thing| thing.name).collect()
        })
        .collect();
    assert_eq!(
        names,
        [
            vec!["in/a.csv"],
            vec!["in/b.txt"],
            vec!["in/a.csv", "in/deep/c.csv"],
            vec!["in/a.csv"],
            vec!["out/d.csv"],
        ]
    );
    // A plain key is one question, and the same thing as in a listing.
    let alone = sensed(&context.project, &wait(Some("lake"), "in/a.csv")).await;
    let listed = sensed(&context.project, &wait(Some("lake"), "in/a*")).await;
    assert_eq!(alone[0].identity, listed[0].identity);
}

#[tokio::test]
async fn one_place_that_cannot_be_listed_leaves_the_others() {
    let [project, _] = projects();
    let project = project.with_connection("away", "s3://x?endpoint=http://127.0.0.1:1");
    project.write("in/a.csv", "x");
    let waits = [
        wait(Some("away"), "*"),
        wait(None, "in/*.csv"),
        wait(Some("lake"), "*"),
        wait(Some("nothing"), "*"),
    ];
    let context = project.context();
    let now = SystemClock.now();
    let found = list_many(&Connector::default(), &context.project, &waits, now).await;
    let counts: Vec<_> = found
        .iter()
        .map(|found| found.as_ref().map(|looked| looked.sight.things.len()).ok())
        .collect();
    assert_eq!(counts, [None, Some(1), Some(0), None]);
}

/// Puts something under a key of the lake, or of the project when there is no connection.
async fn drop_in(project: &TestProject, connection: Option<&str>, key: &str, content: &str) {
    if connection.is_none() {
        project.write(key, content);
        return;
    }
    let content = Bytes::from(content.to_owned());
    lake(project).await.put(key, content).await.unwrap();
}

/// All that is in a place, as key and content.
async fn all(project: &TestProject, connection: Option<&str>) -> Vec<(String, String)> {
    let context = project.context();
    let mut found = Vec::new();
    for thing in sensed(&context.project, &wait(connection, "**")).await {
        let bytes = match connection {
            None => project.read(&thing.name).into(),
            Some(_) => lake(project).await.get(&thing.name).await.unwrap(),
        };
        found.push((thing.name, String::from_utf8(bytes.to_vec()).unwrap()));
    }
    found.sort();
    found
}

fn places() -> Vec<(TestProject, Option<&'static str>)> {
    let [bucket, directory] = projects();
    vec![
        (bucket, Some("lake")),
        (directory, Some("lake")),
        (TestProject::new(), None),
    ]
}

fn archive() -> AfterSuccess {
    AfterSuccess::Move {
        archive: "done".to_owned(),
    }
}

async fn settle(
    project: &TestProject,
    connection: Option<&str>,
    thing: &Thing,
    after: &AfterSuccess,
) -> Settled {
    let context = project.context();
    let wait = wait(connection, "**");
    settle_thing(&Connector::default(), &context.project, &wait, thing, after)
        .await
        .unwrap()
}

fn pairs<const N: usize>(expected: [(&str, &str); N]) -> Vec<(String, String)> {
    expected
        .map(|(key, content)| (key.to_owned(), content.to_owned()))
        .into()
}

#[tokio::test]
async fn things_move_with_their_whole_key() {
    for (project, connection) in places() {
        for key in ["a/x.csv", "b/x.csv", "b/mit ü + y.csv"] {
            drop_in(&project, connection, key, key).await;
        }
        let context = project.context();
        for thing in sensed(&context.project, &wait(connection, "**")).await {
            for _ in 0..2 {
                settle(&project, connection, &thing, &archive()).await;
            }
        }
        let expected = pairs([
            ("done/a/x.csv", "a/x.csv"),
            ("done/b/mit ü + y.csv", "b/mit ü + y.csv"),
            ("done/b/x.csv", "b/x.csv"),
        ]);
        assert_eq!(all(&project, connection).await, expected);
    }
}

#[tokio::test]
async fn what_was_moved_is_put_back() {
    for (project, connection) in places() {
        let context = project.context();
        let everything = wait(connection, "in/*");
        let restore = async |thing: &Thing, after: &AfterSuccess| {
            let connector = Connector::default();
            restore_thing(&connector, &context.project, &everything, thing, after)
                .await
                .unwrap()
        };
        // The second one meets the first in the archive.
        let mut moved = Vec::new();
        for content in ["one", "other"] {
            drop_in(&project, connection, "in/x.csv", content).await;
            let thing = sensed(&context.project, &everything).await.remove(0);
            assert_eq!(restore(&thing, &archive()).await, Restored::There);
            let Settled::Moved(place) = settle(&project, connection, &thing, &archive()).await
            else {
                panic!("it is not moved")
            };
            moved.push((thing, place));
        }
        for ((thing, place), content) in moved.iter().zip(["one", "other"]) {
            let back = restore(thing, &archive()).await;
            assert_eq!(back, Restored::Back(place.clone()));
            let lying = all(&project, connection).await;
            assert!(lying.contains(&("in/x.csv".to_owned(), content.to_owned())));
            assert_eq!(lying.len(), 2);
            // What is there now is not written over.
            assert_eq!(restore(thing, &archive()).await, Restored::There);
            let again = sensed(&context.project, &everything).await.remove(0);
            settle(&project, connection, &again, &archive()).await;
        }
        drop_in(&project, connection, "in/y.csv", "y").await;
        let thing = sensed(&context.project, &everything).await.remove(0);
        let after = AfterSuccess::Delete;
        settle(&project, connection, &thing, &after).await;
        let missing = Restored::Missing(Vec::new());
        assert_eq!(restore(&thing, &after).await, missing);
        let Restored::Missing(places) = restore(&thing, &archive()).await else {
            panic!("it is nowhere")
        };
        assert_eq!((places.len(), places[1].as_str()), (2, "done/in/y.csv"));
    }
}

#[tokio::test]
async fn two_that_settle_at_once_both_find_it_done() {
    let project = TestProject::new();
    let context = project.context();
    let everything = wait(None, "in/*");
    for round in 0..100 {
        project.write("in/x.csv", round.to_string());
        let thing = sensed(&context.project, &everything).await.remove(0);
        let after = archive();
        let one = settle(&project, None, &thing, &after);
        let other = settle(&project, None, &thing, &after);
        let (one, other) = tokio::join!(one, other);
        assert!(
            [&one, &other]
                .iter()
                .any(|settled| matches!(settled, Settled::Moved(_))),
            "{one:?} {other:?}"
        );
        assert!(sensed(&context.project, &everything).await.is_empty());
    }
}

#[tokio::test]
async fn a_newer_thing_of_the_same_name_stays() {
    for (project, connection) in places() {
        let context = project.context();
        drop_in(&project, connection, "in/x.csv", "old").await;
        let old = sensed(&context.project, &wait(connection, "in/*")).await;
        if connection.is_none() {
            // A file that is dropped anew is another file; one that is written over has another time.
            std::fs::remove_file(project.root().join("in/x.csv")).unwrap();
        }
        drop_in(&project, connection, "in/x.csv", "newer").await;
        for after in [AfterSuccess::Delete, archive()] {
            assert_eq!(
                settle(&project, connection, &old[0], &after).await,
                Settled::Gone
            );
        }
        let expected = pairs([("in/x.csv", "newer")]);
        assert_eq!(all(&project, connection).await, expected);
    }
}

#[tokio::test]
async fn what_is_in_the_archive_already_stays() {
    for (project, connection) in places() {
        let context = project.context();
        drop_in(&project, connection, "done/in/x.csv", "earlier").await;
        drop_in(&project, connection, "in/x.csv", "x").await;
        let thing = sensed(&context.project, &wait(connection, "in/*"))
            .await
            .remove(0);
        let Settled::Moved(target) = settle(&project, connection, &thing, &archive()).await else {
            panic!("it was not moved")
        };
        assert!(target.starts_with("done/in/x."), "{target}");
        assert!(Path::new(&target).extension().unwrap() == "csv");
        let mut expected = pairs([("done/in/x.csv", "earlier"), (&target, "x")]);
        expected.sort();
        assert_eq!(all(&project, connection).await, expected);
    }
}

#[tokio::test]
async fn a_move_that_was_interrupted_goes_on() {
    for (project, connection) in places() {
        let context = project.context();
        drop_in(&project, connection, "in/x.csv", "x").await;
        let thing = sensed(&context.project, &wait(connection, "in/*"))
            .await
            .remove(0);
        // As after a kill between the copy and the removal.
        match connection {
            Some(_) if lake(&project).await.root().is_none() => {
                let bucket = lake(&project).await;
                bucket.copy("in/x.csv", "done/in/x.csv").await.unwrap();
            }
            _ => {
                let root = match connection {
                    Some(_) => project.root().join("lake"),
                    None => project.root().to_owned(),
                };
                std::fs::create_dir_all(root.join("done/in")).unwrap();
                std::fs::hard_link(root.join("in/x.csv"), root.join("done/in/x.csv")).unwrap();
            }
        }
        assert_eq!(
            settle(&project, connection, &thing, &archive()).await,
            Settled::Moved("done/in/x.csv".to_owned())
        );
        let expected = pairs([("done/in/x.csv", "x")]);
        assert_eq!(all(&project, connection).await, expected);
    }
}

#[tokio::test]
async fn things_are_kept_or_removed() {
    for (project, connection) in places() {
        let context = project.context();
        drop_in(&project, connection, "in/x.csv", "x").await;
        let thing = sensed(&context.project, &wait(connection, "in/*"))
            .await
            .remove(0);
        for (after, expected) in [
            (AfterSuccess::Keep, Settled::Kept),
            (AfterSuccess::Delete, Settled::Deleted),
            (AfterSuccess::Delete, Settled::Gone),
        ] {
            assert_eq!(settle(&project, connection, &thing, &after).await, expected);
        }
        assert!(all(&project, connection).await.is_empty());
    }
}
