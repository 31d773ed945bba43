//! `LabelEncoder`: what each key becomes.

use std::collections::HashMap;

use crate::data::TextColumn;
use crate::error::{ModelError, Result};
use crate::scorer::kernel::{Attributes, Kernel, unary};
use crate::scorer::tensor::{Elements, Tensor};

/// Keys of a `LabelEncoder`; floats by their bits, every NaN alike.
enum Keys {
    Text(HashMap<String, usize>),
    Integer(HashMap<i64, usize>),
    Float(HashMap<u32, usize>),
}

fn float_key(value: f32) -> u32 {
    if value.is_nan() {
        f32::NAN.to_bits()
    } else {
        (value + 0.0).to_bits()
    }
}

/// The kernel of a `LabelEncoder`.
pub(super) fn label_encoder(attributes: &Attributes<'_>) -> Result<Kernel> {
    let texts = attributes.texts("keys_strings")?;
    let keys = if !texts.is_empty() {
        Keys::Text(places(texts.into_iter().map(str::to_owned)))
    } else if attributes.has("keys_int64s") {
        Keys::Integer(places(attributes.ints("keys_int64s").iter().copied()))
    } else if attributes.has("keys_floats") {
        Keys::Float(places(
            attributes
                .floats("keys_floats")
                .iter()
                .map(|key| float_key(*key)),
        ))
    } else {
        return Err(ModelError::format(
            "a `LabelEncoder` without keys of a known type",
        ));
    };
    let values = label_values(attributes)?;
    let size = match &keys {
        Keys::Text(keys) => keys.len(),
        Keys::Integer(keys) => keys.len(),
        Keys::Float(keys) => keys.len(),
    };
    if values.0.len() < size {
        return Err(ModelError::format(
            "a `LabelEncoder` with more keys than values",
        ));
    }
    Ok(unary(move |tensor| {
        let places = look_up(&keys, tensor)?;
        Ok(Tensor::new(tensor.shape.clone(), values.pick(&places)))
    }))
}

/// The place of each key; of a key that stands there twice, the first.
pub(super) fn places<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, usize> {
    let mut places = HashMap::new();
    for (place, key) in keys.enumerate() {
        places.entry(key).or_insert(place);
    }
    places
}

/// Values of a `LabelEncoder`, and what a value becomes that is no key.
struct LabelValues(Elements, Elements);

impl Elements {
    fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::Boolean(values) => values.len(),
            Self::Text(values) => values.codes.len(),
        }
    }
}

fn label_values(attributes: &Attributes<'_>) -> Result<LabelValues> {
    let texts = attributes.texts("values_strings")?;
    if !texts.is_empty() {
        let default = attributes.text("default_string", "_Unused")?;
        return Ok(LabelValues(
            Elements::Text(TextColumn::new(texts.into_iter().map(Some))),
            Elements::Text(TextColumn::new([Some(default)])),
        ));
    }
    if attributes.has("values_int64s") {
        return Ok(LabelValues(
            Elements::Integer(attributes.ints("values_int64s").to_vec()),
            Elements::Integer(vec![attributes.int("default_int64", -1)]),
        ));
    }
    Ok(LabelValues(
        Elements::Float(attributes.floats("values_floats").to_vec()),
        Elements::Float(vec![attributes.float("default_float", -0.0)]),
    ))
}

impl LabelValues {
    fn pick(&self, places: &[Option<usize>]) -> Elements {
        fn of<T: Copy>(values: &[T], default: &[T], places: &[Option<usize>]) -> Vec<T> {
            places
                .iter()
                .map(|place| place.map_or(default[0], |place| values[place]))
                .collect()
        }
        match (&self.0, &self.1) {
            (Elements::Float(values), Elements::Float(default)) => {
                Elements::Float(of(values, default, places))
            }
            (Elements::Integer(values), Elements::Integer(default)) => {
                Elements::Integer(of(values, default, places))
            }
            (Elements::Text(values), Elements::Text(default)) => {
                Elements::Text(TextColumn::new(places.iter().map(|place| {
                    Some(place.map_or(default.get(0), |place| values.get(place)))
                })))
            }
            _ => Elements::Float(Vec::new()),
        }
    }
}

fn look_up(keys: &Keys, tensor: &Tensor) -> Result<Vec<Option<usize>>> {
    Ok(match (keys, &tensor.elements) {
        (Keys::Text(keys), Elements::Text(text)) => {
            if text.levels.len() > text.codes.len() {
                text.codes
                    .iter()
                    .map(|code| keys.get(text.levels[*code as usize].as_ref()).copied())
                    .collect()
            } else {
                let places: Vec<Option<usize>> = text
                    .levels
                    .iter()
                    .map(|level| keys.get(level.as_ref()).copied())
                    .collect();
                text.codes
                    .iter()
                    .map(|code| places[*code as usize])
                    .collect()
            }
        }
        (Keys::Integer(keys), Elements::Integer(values)) => values
            .iter()
            .map(|value| keys.get(value).copied())
            .collect(),
        (Keys::Float(keys), Elements::Float(values)) => values
            .iter()
            .map(|value| keys.get(&float_key(*value)).copied())
            .collect(),
        _ => {
            return Err(ModelError::format(
                "an encoder whose keys have another type than its input",
            ));
        }
    })
}
