//! The mails that wait to be sent.

use std::{collections::BTreeMap, time::Duration};

use super::fixture::{LONG, Owned, at, mail};
use crate::store::{Change, MailState, NewMail, PendingMail, Store, StoreError, UNCONFIGURED_KEPT};

async fn written(store: &dyn Store, mails: &[NewMail]) {
    let run = Owned::make(store, "churn", 0).await;
    run.commit(mails.iter().cloned().map(Change::Mail).collect())
        .await;
}

async fn take(store: &dyn Store, seconds: i64) -> Vec<PendingMail> {
    store.take_due(at(seconds), LONG, 100).await.unwrap()
}

fn counts<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts
        .into_iter()
        .map(|(state, count)| (state.to_owned(), count))
        .collect()
}

/// The oldest mail is taken first, none before it was written, and it reads back.
pub async fn mails_are_taken_in_their_order(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    let mails = [
        mail(3),
        NewMail {
            run: Some(run.run),
            ..mail(1)
        },
        mail(2),
        mail(9),
    ];
    run.commit(mails.iter().cloned().map(Change::Mail).collect())
        .await;
    let first = store.take_due(at(5), LONG, 2).await.unwrap();
    let expected = [&mails[1], &mails[2]].map(|mail| PendingMail {
        mail: mail.clone(),
        attempts: 0,
    });
    assert_eq!(first, expected);
    let second = take(store, 5).await;
    assert_eq!(
        second
            .iter()
            .map(|pending| pending.mail.id)
            .collect::<Vec<_>>(),
        [mails[0].id]
    );
}

/// A mail that is taken is not taken again until its lease is over.
pub async fn a_taken_mail_is_leased(store: &dyn Store) {
    written(store, &[mail(0)]).await;
    let taken = store
        .take_due(at(1), Duration::from_secs(30), 100)
        .await
        .unwrap();
    assert_eq!(taken.len(), 1);
    assert!(take(store, 30).await.is_empty());
    assert_eq!(take(store, 31).await, taken);
}

/// A mail is tried again when that is said, and never again when it is sent or given up.
pub async fn a_settled_mail_stays_settled(store: &dyn Store) {
    let mails = [mail(0), mail(0), mail(0)];
    written(store, &mails).await;
    take(store, 1).await;
    let retry = MailState::Retry {
        at: at(60),
        error: "greylisted".to_owned(),
    };
    let dead = MailState::Dead {
        error: "no such user".to_owned(),
    };
    for (mail, state) in mails.iter().zip([&retry, &dead, &MailState::Sent]) {
        store.settle(mail.id, state, at(2)).await.unwrap();
    }
    assert_eq!(
        store.counts().await.unwrap(),
        counts([("pending", 1), ("dead", 1), ("sent", 1)])
    );
    assert!(take(store, 59).await.is_empty());
    let again = take(store, 60).await;
    assert_eq!(
        again
            .iter()
            .map(|pending| (pending.mail.id, pending.attempts))
            .collect::<Vec<_>>(),
        [(mails[0].id, 1)]
    );
    store.settle(mails[2].id, &retry, at(61)).await.unwrap();
    store
        .settle(mails[0].id, &MailState::Sent, at(61))
        .await
        .unwrap();
    assert_eq!(
        store.counts().await.unwrap(),
        counts([("dead", 1), ("sent", 2)])
    );
    let nowhere = store.settle(mail(0).id, &MailState::Sent, at(62)).await;
    assert!(
        matches!(nowhere, Err(StoreError::NotFound(_))),
        "{nowhere:?}"
    );
}

/// Without a server a mail waits a day for one, and then expires.
pub async fn a_mail_without_a_server_expires(store: &dyn Store) {
    written(store, &[mail(0)]).await;
    let taken = take(store, 1).await;
    store
        .settle(taken[0].mail.id, &MailState::Unconfigured, at(1))
        .await
        .unwrap();
    assert_eq!(store.counts().await.unwrap(), counts([("unconfigured", 1)]));
    assert!(take(store, 2).await.is_empty());
    let again = store
        .take_due(at(3_600), Duration::from_secs(1), 100)
        .await
        .unwrap();
    assert_eq!(again, taken);
    let day = i64::try_from(UNCONFIGURED_KEPT.as_secs()).unwrap();
    assert!(take(store, day).await.is_empty());
    assert_eq!(store.counts().await.unwrap(), counts([("expired", 1)]));
}
