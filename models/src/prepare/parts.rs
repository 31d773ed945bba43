//! Parts of a date: the year, the month and so on, by arithmetic that a graph can do too.
//!
//! The calendar is Howard Hinnant's `civil_from_days`, with March as the first month, so that the leap day is the last.

use serde::{Deserialize, Serialize};

/// A part of a date, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The year.
    Year,
    /// The month, from 1.
    Month,
    /// The day of the month, from 1.
    Day,
    /// The day of the week, from 0 for Monday.
    Weekday,
    /// The hour, from 0.
    Hour,
}

/// Microseconds in a day and in an hour.
pub(crate) const DAY: f64 = 86_400_000_000.0;
pub(crate) const HOUR: f64 = 3_600_000_000.0;

/// What computes with numbers: in memory, or by adding nodes to a graph. The same steps give the same numbers.
pub(crate) trait Arithmetic {
    /// A number.
    type Number: Clone;
    /// `a · factor + term`.
    fn line(&mut self, a: &Self::Number, factor: f64, term: f64) -> Self::Number;
    /// `a + b · factor`.
    fn plus(&mut self, a: &Self::Number, b: &Self::Number, factor: f64) -> Self::Number;
    /// `⌊a / by⌋`.
    fn over(&mut self, a: &Self::Number, by: f64) -> Self::Number;
    /// 1 where `a ≥ least`, else 0.
    fn reaches(&mut self, a: &Self::Number, least: f64) -> Self::Number;
}

/// The parts of a moment in microseconds since 1970.
pub(crate) fn parts<A: Arithmetic>(
    with: &mut A,
    moment: &A::Number,
    wanted: &[Part],
) -> Vec<A::Number> {
    let days = with.over(moment, DAY);
    let since = with.line(&days, 1.0, 719_468.0);
    let era = with.over(&since, 146_097.0);
    let day_of_era = with.plus(&since, &era, -146_097.0);
    let mut years = day_of_era.clone();
    for (length, sign) in [(1_460.0, -1.0), (36_524.0, 1.0), (146_096.0, -1.0)] {
        let leap = with.over(&day_of_era, length);
        years = with.plus(&years, &leap, sign);
    }
    let year_of_era = with.over(&years, 365.0);
    let mut day_of_year = with.plus(&day_of_era, &year_of_era, -365.0);
    for (length, sign) in [(4.0, -1.0), (100.0, 1.0)] {
        let leap = with.over(&year_of_era, length);
        day_of_year = with.plus(&day_of_year, &leap, sign);
    }
    let scaled = with.line(&day_of_year, 5.0, 2.0);
    let march = with.over(&scaled, 153.0);
    let january = with.reaches(&march, 10.0);
    wanted
        .iter()
        .map(|part| match part {
            Part::Year => {
                let year = with.plus(&year_of_era, &era, 400.0);
                with.plus(&year, &january, 1.0)
            }
            Part::Month => {
                let month = with.line(&march, 1.0, 3.0);
                with.plus(&month, &january, -12.0)
            }
            Part::Day => {
                let before = with.line(&march, 153.0, 2.0);
                let before = with.over(&before, 5.0);
                let day = with.line(&day_of_year, 1.0, 1.0);
                with.plus(&day, &before, -1.0)
            }
            Part::Weekday => {
                // 1970 began on a Thursday.
                let shifted = with.line(&days, 1.0, 3.0);
                let weeks = with.over(&shifted, 7.0);
                with.plus(&shifted, &weeks, -7.0)
            }
            Part::Hour => {
                let rest = with.plus(moment, &days, -DAY);
                with.over(&rest, HOUR)
            }
        })
        .collect()
}

/// Numbers in memory.
pub(crate) struct Memory;

impl Arithmetic for Memory {
    type Number = f64;

    fn line(&mut self, a: &f64, factor: f64, term: f64) -> f64 {
        a * factor + term
    }

    fn plus(&mut self, a: &f64, b: &f64, factor: f64) -> f64 {
        a + b * factor
    }

    fn over(&mut self, a: &f64, by: f64) -> f64 {
        (a / by).floor()
    }

    fn reaches(&mut self, a: &f64, least: f64) -> f64 {
        f64::from(u8::from(*a >= least))
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, Part, parts};

    #[test]
    fn the_calendar_is_the_usual_one() {
        let wanted = [
            Part::Year,
            Part::Month,
            Part::Day,
            Part::Weekday,
            Part::Hour,
        ];
        let cases: [(f64, [f64; 5]); 5] = [
            (0.0, [1970.0, 1.0, 1.0, 3.0, 0.0]),
            (1_709_251_199_000_000.0, [2024.0, 2.0, 29.0, 3.0, 23.0]),
            (1_709_251_200_000_000.0, [2024.0, 3.0, 1.0, 4.0, 0.0]),
            (-1.0, [1969.0, 12.0, 31.0, 2.0, 23.0]),
            (951_782_400_000_000.0, [2000.0, 2.0, 29.0, 1.0, 0.0]),
        ];
        for (moment, expected) in cases {
            assert_eq!(parts(&mut Memory, &moment, &wanted), expected);
        }
    }
}
