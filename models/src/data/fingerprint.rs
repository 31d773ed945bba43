//! A digest of what a model has seen.

use sha2::{Digest, Sha256};

use crate::data::{Table, Target, Truth, Values};

impl Table {
    /// SHA-256 over names, kinds and values in their order, and the target's labels: equal data, equal fingerprint.
    pub fn fingerprint(&self, target: Option<&Target>) -> String {
        let mut digest = Sha256::new();
        digest.update((self.rows as u64).to_le_bytes());
        for column in &self.columns {
            text(&mut digest, &column.name);
            text(&mut digest, column.kind.name());
            values(&mut digest, &column.values);
        }
        if let Some(target) = target {
            text(&mut digest, &target.name);
            match &target.truth {
                Truth::Classes { classes, codes } => {
                    for name in classes.names() {
                        text(&mut digest, &name);
                    }
                    for code in codes {
                        digest.update(code.to_le_bytes());
                    }
                }
                Truth::Quantity(values) => {
                    for value in values {
                        digest.update(value.to_le_bytes());
                    }
                }
                Truth::Unknown(_) => (),
            }
        }
        hexadecimal(&digest.finalize())
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

fn text(digest: &mut Sha256, value: &str) {
    digest.update((value.len() as u64).to_le_bytes());
    digest.update(value.as_bytes());
}

fn values(digest: &mut Sha256, values: &Values) {
    match values {
        Values::Number(numbers) => {
            for number in numbers {
                // Every NaN is the same null, -0.0 is 0.0.
                let canonical = if number.is_nan() {
                    f64::NAN
                } else {
                    number + 0.0
                };
                digest.update(canonical.to_le_bytes());
            }
        }
        Values::Text(column) => {
            for &code in &column.codes {
                text(digest, &column.levels[code as usize]);
            }
        }
        Values::Date(instants) => {
            for instant in instants {
                digest.update(instant.to_le_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    use crate::data::Table;

    #[test]
    fn the_fingerprint_sees_every_value_and_name() {
        let prints: Vec<String> = [
            df!("a" => [1.0, 2.0], "b" => ["x", "y"]).unwrap(),
            df!("a" => [1.0, 2.5], "b" => ["x", "y"]).unwrap(),
            df!("a" => [1.0, 2.0], "b" => ["xy", ""]).unwrap(),
            df!("a" => [1.0, 2.0], "c" => ["x", "y"]).unwrap(),
        ]
        .iter()
        .map(|frame| Table::from_frame(frame, &[]).unwrap().fingerprint(None))
        .collect();
        for (index, print) in prints.iter().enumerate() {
            assert!(!prints[..index].contains(print));
        }
        let again = df!("a" => [1.0, 2.0], "b" => ["x", "y"]).unwrap();
        assert_eq!(
            prints[0],
            Table::from_frame(&again, &[]).unwrap().fingerprint(None)
        );
    }
}
