//! Sensors and their ledger.

use futures::future::join_all;
use serde_json::json;

use super::fixture::{LONG, Owned, at, enqueued};
use crate::{
    state::RunState,
    store::{
        Claimed, Created, NewRun, RunKind, SensorKey, SensorRecord, Store, Thing, ThingRecord,
        ThingState,
    },
};

fn sensor(task: &str) -> SensorKey {
    SensorKey {
        pipeline: "churn".to_owned(),
        task: task.to_owned(),
    }
}

fn thing(identity: &str) -> Thing {
    Thing {
        identity: identity.to_owned(),
        name: format!("drop/{identity}"),
        values: json!({"zebra": identity, "apple": {"key": 1}})
            .as_object()
            .unwrap()
            .clone(),
        size: 12,
        modified: at(3),
    }
}

fn with_run(identity: &str, seconds: i64) -> (Thing, NewRun) {
    let run = NewRun {
        kind: RunKind::Sensor,
        trigger_key: Some(format!("thing:{identity}")),
        ..enqueued("churn", seconds)
    };
    (thing(identity), run)
}

async fn names(store: &dyn Store, key: &SensorKey) -> Vec<String> {
    let things = store.things(key, 100).await.unwrap();
    things
        .into_iter()
        .map(|record| record.thing.identity)
        .collect()
}

/// A sensor is known since it was first watched; failures in a row are counted.
pub async fn a_sensor_counts_its_failures(store: &dyn Store) {
    let key = sensor("arrived");
    let new = SensorRecord {
        key: key.clone(),
        since: at(1),
        looked: None,
        failures: 0,
        error: None,
    };
    assert_eq!(store.sensor(&key, at(1)).await.unwrap(), new);
    assert_eq!(store.sensor(&key, at(2)).await.unwrap(), new);
    for (now, error, failures, looked) in [
        (3, Some("away"), 1, None),
        (4, Some("still away"), 2, None),
        (5, None, 0, Some(5)),
        (6, Some("away again"), 1, Some(6)),
    ] {
        let counted = store.looked(&key, at(now), error).await.unwrap();
        assert_eq!(counted, failures);
        let expected = SensorRecord {
            looked: looked.map(at),
            failures,
            error: error.map(str::to_owned),
            ..new.clone()
        };
        assert_eq!(store.sensor(&key, at(9)).await.unwrap(), expected);
    }
    let other = sensor("another");
    assert_eq!(store.looked(&other, at(7), Some("no")).await.unwrap(), 1);
    let all = store.sensors().await.unwrap();
    let all: Vec<_> = all
        .iter()
        .map(|sensor| (&sensor.key, sensor.since))
        .collect();
    assert_eq!(all, [(&other, at(7)), (&key, at(1))]);
}

/// Each thing gets one run, and is in the ledger from then on.
pub async fn a_thing_gets_one_run(store: &dyn Store) {
    let key = sensor("arrived");
    let things = [with_run("b", 0), with_run("a", 1)];
    let identities = ["c", "a", "b", "ü +/a.csv"].map(str::to_owned);
    assert_eq!(store.unseen(&key, &identities).await.unwrap(), identities);
    let sensed = store.sense(&key, &things, at(5)).await.unwrap();
    assert_eq!(sensed, [Created::New, Created::New]);
    let unseen = store.unseen(&key, &identities).await.unwrap();
    assert_eq!(unseen, ["c", "ü +/a.csv"]);
    let again = [with_run("c", 2), with_run("a", 3), things[0].clone()];
    let sensed = store.sense(&key, &again, at(6)).await.unwrap();
    assert_eq!(
        sensed,
        [
            Created::New,
            Created::Existing(things[1].1.id),
            Created::New
        ]
    );
    assert_eq!(store.run(again[1].1.id).await.unwrap(), None);
    let run = store.run(things[1].1.id).await.unwrap().unwrap();
    assert_eq!(run.run, things[1].1);
    assert_eq!(names(store, &key).await, ["c", "b", "a"]);
    let newest = store.things(&key, 1).await.unwrap();
    let expected = ThingRecord {
        thing: thing("c"),
        state: ThingState::Taken,
        seen: at(6),
        run: Some(again[0].1.id),
    };
    assert_eq!(newest, [expected]);
    assert_eq!(
        newest[0].thing.values.keys().collect::<Vec<_>>(),
        ["zebra", "apple"]
    );
    assert_eq!(names(store, &sensor("other")).await, [""; 0]);
    assert_eq!(store.sense(&key, &[], at(7)).await.unwrap(), []);
}

/// However many see the same things at once, each thing has one run.
pub async fn many_that_sense_make_one_run(store: &dyn Store) {
    let key = sensor("arrived");
    let names: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    let views: Vec<Vec<_>> = (0..6)
        .map(|view| {
            let mut things: Vec<_> = names.iter().map(|name| with_run(name, view)).collect();
            things.rotate_left(usize::try_from(view).unwrap() * 7);
            things
        })
        .collect();
    let sensed = join_all(views.iter().map(|things| store.sense(&key, things, at(9)))).await;
    let sensed: Vec<_> = sensed.into_iter().flat_map(Result::unwrap).collect();
    let made = sensed.iter().filter(|created| **created == Created::New);
    assert_eq!(made.count(), 50);
    let queued = store.unfinished().await.unwrap();
    assert_eq!(queued[&("churn".to_owned(), RunState::Queued)], 50);
    let ledger = store.things(&key, 100).await.unwrap();
    for ((_, run), created) in views.iter().flatten().zip(sensed) {
        let own = match created {
            Created::New => run.id,
            Created::Existing(other) => other,
        };
        assert!(ledger.iter().any(|record| record.run == Some(own)));
    }
}

/// Ten thousand things are one call.
pub async fn a_flood_of_things_is_sensed(store: &dyn Store) {
    let key = sensor("arrived");
    let things: Vec<_> = (0..10_000)
        .map(|number| with_run(&format!("{number}.csv"), number % 60))
        .collect();
    let sensed = store.sense(&key, &things, at(9)).await.unwrap();
    assert!(sensed.iter().all(|created| *created == Created::New));
    let identities: Vec<_> = things
        .iter()
        .map(|(thing, _)| thing.identity.clone())
        .collect();
    let unseen = store.unseen(&key, &identities).await.unwrap();
    assert_eq!(unseen, [""; 0]);
}

/// What was there before the sensor is left alone; what is in the ledger stays as it is.
pub async fn ignored_things_get_no_run(store: &dyn Store) {
    let key = sensor("arrived");
    let (taken, run) = with_run("a", 0);
    store
        .sense(&key, &[(taken.clone(), run.clone())], at(1))
        .await
        .unwrap();
    let things = [taken, thing("b")];
    store.ignore(&key, &things, at(2)).await.unwrap();
    store.ignore(&key, &things, at(3)).await.unwrap();
    let (old, new) = with_run("b", 1);
    let sensed = store
        .sense(&key, &[(old, new.clone())], at(4))
        .await
        .unwrap();
    assert_eq!(sensed, [Created::Existing(new.id)]);
    assert_eq!(store.run(new.id).await.unwrap(), None);
    let ledger = store.things(&key, 9).await.unwrap();
    let ledger: Vec<_> = ledger
        .iter()
        .map(|record| {
            (
                record.thing.identity.as_str(),
                record.state,
                record.seen,
                record.run,
            )
        })
        .collect();
    assert_eq!(
        ledger,
        [
            ("b", ThingState::Ignored, at(2), None),
            ("a", ThingState::Taken, at(1), Some(run.id))
        ]
    );
}

/// A thing whose trigger has a run already is entered with that one.
pub async fn a_thing_keeps_the_run_of_its_trigger(store: &dyn Store) {
    let key = sensor("arrived");
    let (_, earlier) = with_run("a", 0);
    store.create_run(&earlier).await.unwrap();
    let things = [with_run("a", 1), with_run("b", 2)];
    let sensed = store.sense(&key, &things, at(1)).await.unwrap();
    assert_eq!(sensed, [Created::Existing(earlier.id), Created::New]);
    let ledger = store.things(&key, 9).await.unwrap();
    assert_eq!(ledger[1].run, Some(earlier.id));
}

/// A thing is to be settled once its run has succeeded, and then no more.
pub async fn things_are_settled_after_success(store: &dyn Store) {
    let key = sensor("arrived");
    for (name, seen) in [("c", 1), ("b", 2), ("a", 2), ("failed", 3), ("waits", 4)] {
        store
            .sense(&key, &[with_run(name, seen)], at(seen))
            .await
            .unwrap();
    }
    for record in store.things(&key, 9).await.unwrap() {
        let state = match record.thing.identity.as_str() {
            "waits" => continue,
            "failed" => RunState::Failed,
            _ => RunState::Success,
        };
        let run = record.run.unwrap();
        let claim = store.claim(run, "one", LONG).await.unwrap();
        let claim = claim.unwrap();
        Owned::of(store, Claimed { run, claim }).end(state, 9).await;
    }
    let due = async |limit| -> Vec<String> {
        let due = store.to_settle(&key, limit).await.unwrap();
        due.into_iter()
            .map(|record| record.thing.identity)
            .collect()
    };
    assert_eq!(due(9).await, ["c", "a", "b"]);
    assert_eq!(due(1).await, ["c"]);
    for _ in 0..2 {
        store.settled(&key, "a").await.unwrap();
    }
    store.settled(&key, "unknown").await.unwrap();
    assert_eq!(due(9).await, ["c", "b"]);
    let ledger = store.things(&key, 9).await.unwrap();
    let settled = ledger
        .iter()
        .find(|record| record.state == ThingState::Settled);
    assert_eq!(settled.unwrap().thing.identity, "a");
}

/// What is forgotten is sensed anew, and gets a new run.
pub async fn forgotten_things_are_sensed_anew(store: &dyn Store) {
    let key = sensor("arrived");
    let things = ["a", "b", "c"].map(|name| with_run(name, 0));
    store.sense(&key, &things, at(1)).await.unwrap();
    let other = sensor("other");
    store.ignore(&other, &[thing("a")], at(1)).await.unwrap();
    assert_eq!(store.forget(&key, Some("unknown")).await.unwrap(), 0);
    assert_eq!(store.forget(&key, Some("a")).await.unwrap(), 1);
    assert_eq!(names(store, &key).await, ["c", "b"]);
    let again = with_run("a", 5);
    let sensed = store.sense(&key, std::slice::from_ref(&again), at(2)).await;
    assert_eq!(sensed.unwrap(), [Created::New]);
    let earlier = store.run(things[0].1.id).await.unwrap().unwrap();
    assert_eq!(earlier.run.trigger_key, None);
    assert_eq!(store.forget(&key, None).await.unwrap(), 3);
    assert_eq!(names(store, &key).await, [""; 0]);
    assert_eq!(names(store, &other).await, ["a"]);
}

/// Identities may be long and odd.
pub async fn odd_things_are_told_apart(store: &dyn Store) {
    let key = sensor("arrived");
    let long = "ü/".repeat(2_000);
    let odd = [
        format!("{long}a"),
        format!("{long}b"),
        "a/x y.csv@\"v1\"".to_owned(),
        "b/x y.csv@\"v1\"".to_owned(),
        "%20+%2B".to_owned(),
    ];
    let things: Vec<_> = odd.iter().map(|name| thing(name)).collect();
    store.ignore(&key, &things[..1], at(1)).await.unwrap();
    assert_eq!(store.unseen(&key, &odd).await.unwrap(), odd[1..]);
    store.ignore(&key, &things, at(2)).await.unwrap();
    assert_eq!(store.unseen(&key, &odd).await.unwrap(), [""; 0]);
    let mut kept = names(store, &key).await;
    let mut expected = odd.to_vec();
    kept.sort();
    expected.sort();
    assert_eq!(kept, expected);
    assert_eq!(store.forget(&key, Some(&odd[1])).await.unwrap(), 1);
    assert_eq!(store.unseen(&key, &odd).await.unwrap(), odd[1..2]);
}
