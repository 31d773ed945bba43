//! What types columns look like, by their first values.

use polars::prelude::DataType;

use super::Cell;
use crate::support::{
    iso::{Form, form},
    settings::type_name,
};

const BOOLEAN: u8 = 1;
const INTEGER: u8 = 2;
const NUMBER: u8 = 4;
const TEXT: u8 = 8;

/// What the values of one column look like so far.
#[derive(Clone, Debug, Default)]
struct Guess {
    /// The kinds of values that there are.
    kinds: u8,
    /// How many were numbers.
    numbers: usize,
    /// How many were texts, and the first of them.
    texts: usize,
    text: Option<Box<str>>,
    /// How many of the texts would be numbers by a decimal comma, and the first of them.
    commas: usize,
    comma: Option<Box<str>>,
    /// The form of all texts, when they are dates or times.
    form: Option<Form>,
    /// How many texts are dates or times, the form of the last of them, and the first text that is none.
    moments: usize,
    moment: Option<Form>,
    none: Option<Box<str>>,
}

/// A column that is text, although nearly all of its values are numbers or dates, or all would be by a decimal comma.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    text: String,
    odd: usize,
    values: usize,
    nearly: Nearly,
}

/// What a column nearly is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nearly {
    /// Numbers.
    Numbers,
    /// Whole numbers.
    Integers,
    /// Numbers with a comma before the decimals.
    Commas,
    /// Dates or times.
    Moments(Form),
}

impl Doubt {
    /// In words, of a column of this name.
    pub(crate) fn told(&self, name: &str) -> String {
        let (what, of) = match self.nearly {
            Nearly::Commas => {
                return format!(
                    "`{name}` is text, with values like `{}`: `decimal_comma: true` if the comma stands before decimals, `types: {{{name}: string}}` if it is text",
                    self.text
                );
            }
            Nearly::Numbers => ("numbers", "number".to_owned()),
            Nearly::Integers => ("numbers", "integer".to_owned()),
            Nearly::Moments(form) => ("dates", type_name(&form.polars())),
        };
        format!(
            "`{name}` is text because of `{}`: {} of {} values are no {what}; `null_values: [{:?}]` if that means nothing, `types: {{{name}: {of}}}` to be told of each",
            self.text, self.odd, self.values, self.text
        )
    }
}

/// One text among so many numbers is taken for a slip.
const RARE: usize = 20;

/// What the columns of a file look like so far.
#[derive(Clone, Debug)]
pub(crate) struct Guesses {
    columns: Vec<Guess>,
    missing: Vec<String>,
    decimal_comma: bool,
}

impl Guesses {
    /// Nothing has been seen of so many columns; `missing` are the texts that stand for nothing.
    pub(crate) fn new(columns: usize, missing: Vec<String>, decimal_comma: bool) -> Self {
        Self {
            columns: vec![Guess::default(); columns],
            missing,
            decimal_comma,
        }
    }

    /// Looks at a record.
    pub(crate) fn see(&mut self, record: &[Cell<'_>]) {
        for (guess, cell) in self.columns.iter_mut().zip(record) {
            let missing = cell.text.is_empty() && !cell.quoted;
            if !missing && !self.missing.iter().any(|missing| *missing == cell.text) {
                guess.see(&cell.text, self.decimal_comma);
            }
        }
    }

    /// For each column whether it is text because of a few values only.
    pub(crate) fn doubts(&self, dates: bool) -> impl Iterator<Item = Option<Doubt>> {
        self.columns.iter().map(move |guess| guess.doubt(dates))
    }

    /// The columns' types; `dates` allows for dates and times.
    pub(crate) fn types(&self, dates: bool) -> impl Iterator<Item = DataType> {
        self.columns.iter().map(move |guess| guess.of(dates))
    }
}

impl Guess {
    fn see(&mut self, text: &str, decimal_comma: bool) {
        let bytes = text.as_bytes();
        let kind = if super::values::boolean(bytes).is_some() {
            BOOLEAN
        } else if is_integer(bytes) {
            INTEGER
        } else if is_number(bytes, if decimal_comma { b',' } else { b'.' }) {
            NUMBER
        } else {
            TEXT
        };
        match kind {
            INTEGER | NUMBER => self.numbers += 1,
            TEXT => {
                self.texts += 1;
                if !decimal_comma && is_number(bytes, b',') {
                    self.commas += 1;
                    self.comma.get_or_insert_with(|| text.into());
                }
                self.text.get_or_insert_with(|| text.into());
            }
            _ => {}
        }
        if kind == TEXT {
            let form = form(text);
            if form.is_some() {
                self.moments += 1;
                self.moment = form;
            } else {
                self.none.get_or_insert_with(|| text.into());
            }
            let agrees = self.kinds == 0 || self.form == form;
            self.form = form.filter(|_| agrees);
        }
        self.kinds |= kind;
    }

    fn doubt(&self, dates: bool) -> Option<Doubt> {
        let rare = |odd: usize, others: usize| odd > 0 && others >= odd * RARE;
        let values = self.texts + self.numbers;
        let doubt = |text: &Option<Box<str>>, odd: usize, nearly: Nearly| {
            let text = text.as_deref()?.chars().take(40).collect();
            Some(Doubt {
                text,
                odd,
                values,
                nearly,
            })
        };
        let others = self.texts - self.commas;
        if self.kinds & BOOLEAN == 0 && (others == 0 || rare(others, self.commas)) {
            return doubt(&self.comma, self.texts, Nearly::Commas);
        }
        if rare(self.texts, self.numbers) {
            let nearly = if self.kinds & NUMBER == 0 {
                Nearly::Integers
            } else {
                Nearly::Numbers
            };
            return doubt(&self.text, self.texts, nearly);
        }
        let moment = self.moment.filter(|_| dates && self.kinds == TEXT)?;
        let odd = self.texts - self.moments;
        rare(odd, self.moments).then(|| doubt(&self.none, odd, Nearly::Moments(moment)))?
    }

    fn of(&self, dates: bool) -> DataType {
        match self.kinds {
            BOOLEAN => DataType::Boolean,
            INTEGER => DataType::Int64,
            kinds if kinds & NUMBER != 0 && kinds & !(NUMBER | INTEGER) == 0 => DataType::Float64,
            TEXT => match self.form.filter(|_| dates) {
                Some(form) => form.polars(),
                None => DataType::String,
            },
            _ => DataType::String,
        }
    }
}

/// Digits, perhaps after a minus. With zeros before them, or with more than fit into 64 bits, they are the name of something.
fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let padded = digits.len() > 1 && digits.first() == Some(&b'0');
    !padded
        && digits.iter().all(u8::is_ascii_digit)
        && str::from_utf8(text).is_ok_and(|text| text.parse::<i64>().is_ok())
}

/// What has a point or an exponent, or is infinite or no number.
fn is_number(text: &[u8], point: u8) -> bool {
    let text = match text.split_first() {
        Some((b'-' | b'+', rest)) => rest,
        _ => text,
    };
    if matches!(text, b"inf" | b"NaN") {
        return true;
    }
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(text);
    let rest = text.get(whole..).unwrap_or_default();
    let (fraction, rest) = match rest.split_first() {
        Some((mark, rest)) if *mark == point => {
            let fraction = digits(rest);
            (Some(fraction), rest.get(fraction..).unwrap_or_default())
        }
        _ => (None, rest),
    };
    let exponent = match rest.split_first() {
        None => false,
        Some((b'e' | b'E', rest)) => {
            let power = match rest.split_first() {
                Some((b'-' | b'+', power)) => power,
                _ => rest,
            };
            if power.is_empty() || digits(power) < power.len() {
                return false;
            }
            true
        }
        Some(_) => return false,
    };
    match fraction {
        None => exponent && whole > 0,
        Some(0) => whole > 0 && !exponent,
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{
        csv::{Dialect, cells},
        settings::type_name,
    };

    fn guessed(values: &[&str], decimal_comma: bool) -> String {
        let dialect = Dialect {
            delimiter: b';',
            quote: Some(b'"'),
        };
        let mut guesses = Guesses::new(1, vec!["NA".to_owned()], decimal_comma);
        for value in values {
            guesses.see(&cells(value.as_bytes(), dialect));
        }
        guesses.types(true).map(|of| type_name(&of)).collect()
    }

    #[test]
    fn types_are_those_of_all_values() {
        for (values, expected) in [
            (&["1", "-2", "", "NA", "\"3\""][..], "integer"),
            (&["1", "2.5"], "number"),
            (&["1.", ".5", "-1e5", "+2.5E-3", "inf", "-NaN"], "number"),
            (&["true", "FALSE"], "boolean"),
            (&["true", "1"], "string"),
            (&["1", "x"], "string"),
            (&["+1"], "string"),
            (&["."], "string"),
            (&["1.e5"], "string"),
            (&["e5"], "string"),
            (&["1e"], "string"),
            (&[" 1"], "string"),
            (&["1,5"], "string"),
            (&["\"\"", "1"], "string"),
            (&["12345678901234567890"], "string"),
            (&["9223372036854775807", "0"], "integer"),
            (&["1", "9223372036854775808"], "string"),
            (&["01234", "98765"], "string"),
            (&["2026-03-01", ""], "date"),
            (&["2026-03-01", "2026-03-01T12:00"], "string"),
            (
                &["2026-03-01T12:00Z", "2026-03-01T12:00+01:00"],
                "timestamp",
            ),
            (&["2026-03-01", "5"], "string"),
            (&["5", "2026-03-01"], "string"),
            (&["", "NA"], "string"),
            (&[], "string"),
        ] {
            assert_eq!(guessed(values, false), expected, "{values:?}");
        }
        assert_eq!(guessed(&["1,5", "2"], true), "number");
        assert_eq!(guessed(&["1.5"], true), "string");
    }
}
