//! What all protocols do with a request for predictions: read it, answer it, count it, refuse it in their words.

use std::{fmt, sync::Arc};

use axum::{
    body::Bytes,
    extract::rejection::BytesRejection,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{
    refusal::Refusal,
    rest::json,
    shelf::{Loaded, Shelf},
};

/// A body, or why there is none.
pub(super) type Body = Result<Bytes, BytesRejection>;

/// What is asked of a model, and by whose protocol.
pub(super) struct Asked<'a> {
    pub(super) shelf: &'a Shelf,
    pub(super) loaded: Result<Arc<Loaded>, Refusal>,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Body,
    /// How the protocol tells refusals.
    pub(super) refuse: fn(&Refusal) -> Response,
}

impl Asked<'_> {
    /// The answer that `answer` gives, with the number of rows that it is about, or a refusal.
    pub(super) fn answered(
        self,
        answer: impl FnOnce(&Loaded, &HeaderMap, &[u8]) -> Result<(Value, usize), Refusal>,
    ) -> Response {
        let timer = self.shelf.meters.begin();
        let answer = self.loaded.and_then(|loaded| {
            let body = self.body.map_err(|rejection| unread(&rejection))?;
            let (answer, rows) = answer(&loaded, self.headers, &body)?;
            Ok((answer, loaded, rows))
        });
        match answer {
            Ok((answer, loaded, rows)) => {
                timer.answered(&loaded.found.name, rows);
                json(&answer)
            }
            Err(refusal) => {
                timer.refused();
                (self.refuse)(&refusal)
            }
        }
    }
}

fn unread(rejection: &BytesRejection) -> Refusal {
    match rejection.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(
            status,
            format!(
                "the body is larger than {} MiB: send fewer rows at once",
                super::LARGEST >> 20
            ),
        ),
        status => Refusal::new(status, rejection.body_text()),
    }
}

/// Reads JSON in which no object has a key twice: whoever sends two values for one column means one of them.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], wanted: &str) -> Result<T, Refusal> {
    let wrong = |error| Refusal::malformed(format!("the body is no {wanted}: {error}"));
    let Once(value) = serde_json::from_slice(body).map_err(wrong)?;
    serde_json::from_value(value).map_err(wrong)
}

/// A JSON value without a key that is there twice.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Seen).map(Once)
    }
}

struct Seen;

impl<'de> Visitor<'de> for Seen {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Once(value)) = access.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = serde_json::Map::new();
        while let Some((key, Once(value))) = access.next_entry::<String, Once>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("`{key}` is there twice")));
            }
            map.insert(key, value);
        }
        Ok(map.into())
    }
}
