//! Numbers as people read them.

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    let hundred = share * 100.0;
    if hundred > 0.0 && hundred < 0.1 {
        "< 0.1 %".to_owned()
    } else {
        format!("{:.1} %", (share * 1000.0).round() / 10.0)
    }
}

/// A metric with three digits.
pub(crate) fn metric(value: Option<f64>) -> String {
    // As percentages are: half a thousandth is one in both.
    let rounded = |value: f64| format!("{:.3}", (value * 1000.0).round() / 1000.0);
    value.map_or_else(|| "–".to_owned(), rounded)
}

/// A count with its thousands apart.
pub(crate) fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A score, also a very small one.
pub(crate) fn score(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value.abs() < 0.001 {
        format!("{value:.1e}")
    } else {
        format!("{value:.3}")
    }
}

/// A number with as many digits behind the point as make three of the largest one that it stands below.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few digits"
)]
pub(crate) fn beside(value: f64, largest: f64) -> String {
    let digits = (2.0 - largest.abs().max(1e-12).log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.digits$}");
    // Nothing is less than nothing.
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|letter| "0.".contains(letter)) => rest.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{beside, count, metric, percent, score};

    #[test]
    fn numbers_are_short() {
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!([metric(Some(0.7575)), percent(0.7575)], ["0.758", "75.8 %"]);
        assert_eq!(
            [percent(0.5), percent(0.0002), percent(0.0)],
            ["50.0 %", "< 0.1 %", "0.0 %"]
        );
        assert_eq!(
            [
                beside(0.252, 0.252),
                beside(-8.4e-4, 0.252),
                beside(-1.5e-4, 0.252),
                beside(3.0, 1250.0)
            ],
            ["0.252", "-0.001", "0.000", "3"]
        );
        assert_eq!(
            [score(0.0), score(0.00001), score(0.25)],
            ["0", "1.0e-5", "0.250"]
        );
    }
}
