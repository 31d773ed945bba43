//! Keeps a pipeline that fails again and again from writing to the same people all day: they get one mail each ten minutes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use chrono::{DurationRound as _, TimeDelta};
use pipectl_engine::{
    store::{NewMail, PendingMail},
    time::Timestamp,
};

/// Over so long a stretch messages are counted, and what is held back goes out together at multiples of it.
const STRETCH: TimeDelta = TimeDelta::minutes(10);
/// From so many messages on the next ones are held back.
const MOST: usize = 6;

/// A pipeline, and to whom it writes.
type Key = (String, Vec<String>);

/// The messages that have gone out of late.
#[derive(Debug, Default)]
pub(crate) struct Flood {
    sent: Mutex<HashMap<Key, VecDeque<Timestamp>>>,
}

impl Flood {
    /// Mails that go out now, and those that wait till others can go with them. What was held back or tried before goes.
    pub(crate) fn part(
        &self,
        due: Vec<PendingMail>,
        now: Timestamp,
    ) -> (Vec<PendingMail>, Vec<PendingMail>) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.retain(|_, times| {
            times.retain(|time| *time + STRETCH > now);
            !times.is_empty()
        });
        let flooded = |mail: &NewMail| {
            sent.get(&key(mail))
                .is_some_and(|times| times.len() >= MOST)
        };
        due.into_iter()
            .partition(|due| due.attempts > 0 || !flooded(&due.mail))
    }

    /// A message with these mails has gone out; one of many stands for as many as are too many.
    pub(crate) fn sent(&self, mails: &[PendingMail], now: Timestamp) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let weight = if mails.len() >= MOST { MOST } else { 1 };
        let mut keys: Vec<Key> = mails.iter().map(|mail| key(&mail.mail)).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let times = sent.entry(key).or_default();
            times.extend(std::iter::repeat_n(now, weight));
        }
    }

    /// When what is held back goes out.
    pub(crate) fn until(now: Timestamp) -> Timestamp {
        let then = now.duration_trunc(STRETCH).unwrap_or(now);
        then + STRETCH
    }
}

fn key(mail: &NewMail) -> Key {
    let pipeline = mail.content["pipeline"].as_str().unwrap_or_default();
    (pipeline.to_owned(), mail.to.clone())
}

#[cfg(test)]
mod tests {
    use pipectl_engine::plan::AlertKind;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn mail(pipeline: &str, attempts: u32) -> PendingMail {
        PendingMail {
            mail: NewMail {
                id: Uuid::new_v4(),
                run: None,
                kind: AlertKind::Failure,
                to: vec!["team@example.com".to_owned()],
                content: json!({"pipeline": pipeline}),
                created: Timestamp::UNIX_EPOCH,
            },
            attempts,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    /// How many of a pipeline's mails go out now, and how many wait.
    fn parted(flood: &Flood, pipeline: &str, attempts: u32, now: i64) -> (usize, usize) {
        let (go, wait) = flood.part(vec![mail(pipeline, attempts)], at(now));
        (go.len(), wait.len())
    }

    #[test]
    fn the_seventh_in_ten_minutes_waits() {
        let flood = Flood::default();
        for second in 0..6 {
            assert_eq!(parted(&flood, "bad", 0, second), (1, 0));
            flood.sent(&[mail("bad", 0)], at(second));
        }
        assert_eq!(parted(&flood, "bad", 0, 6), (0, 1));
        assert_eq!(parted(&flood, "bad", 1, 6), (1, 0));
        assert_eq!(parted(&flood, "good", 0, 6), (1, 0));
        assert_eq!(Flood::until(at(6)), at(600));
        // Six mails as one message: the next ones wait again.
        flood.sent(&vec![mail("bad", 1); 6], at(600));
        assert_eq!(parted(&flood, "bad", 0, 1_199), (0, 1));
        assert_eq!(parted(&flood, "bad", 0, 1_200), (1, 0));
    }
}
