//! What a plain scalar is: the core schema of YAML 1.2, in which `yes`, `no`, `on` and `off` are text.

use serde_json::Number;

use super::yaml::NodeValue;

/// The value of a plain scalar.
///
/// # Errors
/// When it is a number that has no place in JSON.
pub(super) fn resolve(text: &str) -> Result<NodeValue, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(NodeValue::Null),
        "true" | "True" | "TRUE" => return Ok(NodeValue::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(NodeValue::Bool(false)),
        _ => {}
    }
    let begins_a_number =
        text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.'));
    if !begins_a_number {
        return Ok(NodeValue::Text(text.into()));
    }
    if let Some(number) = whole(text)? {
        return Ok(NodeValue::Number(number));
    }
    if let Some(number) = fraction(text)? {
        return Ok(NodeValue::Number(number));
    }
    Ok(NodeValue::Text(text.into()))
}

/// `[-+]?[0-9]+`, `0o[0-7]+`, `0x[0-9a-fA-F]+`.
fn whole(text: &str) -> Result<Option<Number>, String> {
    let based = [("0x", 16), ("0o", 8)]
        .into_iter()
        .find_map(|(prefix, base)| Some((text.strip_prefix(prefix)?, base)));
    if let Some((digits, base)) = based {
        let all = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base));
        return Ok(if all {
            u64::from_str_radix(digits, base).ok().map(Number::from)
        } else {
            None
        });
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Ok(None);
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    text.parse::<i64>()
        .map(Number::from)
        .or_else(|_| text.parse::<u64>().map(Number::from))
        .map(Some)
        .map_err(|_| format!("`{text}` is too great for a whole number"))
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn fraction(text: &str) -> Result<Option<Number>, String> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(
        unsigned,
        ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN"
    ) {
        return Err(format!("`{text}` is no number that can be used here"));
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let good = digits(before) && digits(after) && !(before.is_empty() && after.is_empty());
    if !good || exponent.is_empty() || !digits(exponent) {
        return Ok(None);
    }
    let value: f64 = text
        .parse()
        .map_err(|_| format!("`{text}` is not a number"))?;
    Number::from_f64(value)
        .map(Some)
        .ok_or_else(|| format!("`{text}` is too great for a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_yaml_1_2() {
        for (text, json) in [
            ("1", "1"),
            ("-7", "-7"),
            ("+7", "7"),
            ("010", "10"),
            ("0o10", "8"),
            ("0xff", "255"),
            ("1.5", "1.5"),
            (".5", "0.5"),
            ("1e3", "1000.0"),
            ("true", "true"),
            ("~", "null"),
            ("", "null"),
            ("yes", "\"yes\""),
            ("no", "\"no\""),
            ("on", "\"on\""),
            ("1.2.3", "\"1.2.3\""),
            ("2024-01-01", "\"2024-01-01\""),
            ("10s", "\"10s\""),
            ("1:30", "\"1:30\""),
            ("-", "\"-\""),
            (".", "\".\""),
        ] {
            let node = super::super::yaml::Node {
                mark: crate::spec::Mark::START,
                value: resolve(text).unwrap(),
            };
            assert_eq!(node.to_json().to_string(), json, "{text}");
        }
        for text in [".inf", "-.inf", ".nan", "1e999", "99999999999999999999"] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }
}
