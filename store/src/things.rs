//! Things that are sensed, and runs that are made: what of that is the same on both databases.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use pipectl_engine::{
    id::RunId,
    store::{Created, NewRun, StoreError, Thing, sha256},
};
use uuid::Uuid;

use crate::error::removed;

/// The runs that the ledger names, by the things' keys.
pub(crate) type Ledger = HashMap<String, Option<Uuid>>;

/// How long a key may be: more does not fit into Postgres' indexes.
const KEY: usize = 1_000;

/// A trigger's key, or a thing's in the ledger, as it is stored: what is as good when it is too long.
pub(crate) fn short_key(key: &str) -> Cow<'_, str> {
    if key.len() <= KEY && !key.contains('\0') {
        return key.into();
    }
    format!("sha256:{}", sha256(key.as_bytes())).into()
}

/// What has become of runs that were to be made: `made` are new, `known` says which run stands where another one could
/// not be made.
pub(crate) fn created(
    runs: &[&NewRun],
    made: &HashSet<Uuid>,
    known: &HashMap<Uuid, Uuid>,
) -> Result<Vec<Created>, StoreError> {
    let created = runs.iter().map(|run| match known.get(&run.id.uuid()) {
        _ if made.contains(&run.id.uuid()) => Ok(Created::New),
        Some(id) if *id == run.id.uuid() => Ok(Created::New),
        Some(id) => Ok(Created::Existing((*id).into())),
        None => Err(removed(run)),
    });
    created.collect()
}

/// Those of `identities` that stand at `places`.
pub(crate) fn at_places(identities: &[String], places: Vec<i64>) -> Vec<String> {
    let places = places
        .into_iter()
        .filter_map(|place| usize::try_from(place).ok());
    places
        .filter_map(|place| identities.get(place).cloned())
        .collect()
}

/// The runs of things that were entered just now, when `entered` are their keys.
pub(crate) fn to_make<'a>(
    things: &'a [(Thing, NewRun)],
    entered: &HashSet<String>,
    ledger: &Ledger,
) -> Vec<&'a NewRun> {
    let own = |(thing, run): &&(Thing, NewRun)| {
        let key = short_key(&thing.identity);
        entered.contains(&*key) && ledger.get(&*key) == Some(&Some(run.id.uuid()))
    };
    things.iter().filter(own).map(|(_, run)| run).collect()
}

/// Names in the ledger, for runs that could not be made, those that stand in their place.
pub(crate) fn name_others(ledger: &mut Ledger, others: &HashMap<Uuid, Uuid>) {
    for run in ledger.values_mut() {
        if let Some(other) = run.and_then(|run| others.get(&run)) {
            *run = Some(*other);
        }
    }
}

/// What has become of sensed things, by the runs that the ledger names for them.
pub(crate) fn sensed(things: &[(Thing, NewRun)], ledger: &Ledger) -> Vec<Created> {
    let created = things.iter().map(|(thing, run)| {
        let known = ledger.get(&*short_key(&thing.identity)).copied().flatten();
        match known.map(RunId::from) {
            Some(known) if known == run.id => Created::New,
            known => Created::Existing(known.unwrap_or(run.id)),
        }
    });
    created.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_stored_short() {
        let long = "x".repeat(4_096);
        assert_eq!(short_key("a b/ü+.csv@v1"), "a b/ü+.csv@v1");
        assert!(short_key(&long).len() < 100);
        assert_ne!(short_key(&long), short_key(&format!("{long}y")));
        assert_ne!(short_key("a\0"), short_key("a"));
    }
}
