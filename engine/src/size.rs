//! Sizes as people write them.

/// Reads a size: a number and a unit, `512B 64KiB 64MiB 4GiB` (powers of 1,024) or `64kB 64MB 4GB` (powers of 1,000).
///
/// # Errors
/// Says what a size looks like when `text` is not one.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write for example `64MiB` or `4GiB`");
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor: u64 = match unit.trim_start() {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        for (text, bytes) in [
            ("1B", 1),
            ("64KiB", 65_536),
            ("64MiB", 67_108_864),
            ("2 GB", 2_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "64", "MiB", "1.5GiB", "-1B", "64mb", "99999999TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
