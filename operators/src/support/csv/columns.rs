//! Columns out of the fields of a piece of a file.

use std::borrow::Cow;

use polars::prelude::{DataType, TimeZone};
use polars_arrow::{
    array::{
        Array, MutableArray as _, MutableBinaryViewArray, MutableBooleanArray, PrimitiveArray, View,
    },
    bitmap::MutableBitmap,
    datatypes::{ArrowDataType, TimeUnit},
    types::NativeType,
};

use super::{
    fields::Located,
    records::unquoted,
    values::{boolean, integer, number, small_number, with_point, without_spaces},
};
use crate::support::iso::{day, physical};

/// The fields of one column.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    /// The piece's text.
    pub(super) text: &'a str,
    pub(super) located: &'a Located,
    pub(super) column: usize,
    /// Whether it is the last one, before which the end of a line may have two characters.
    pub(super) last: bool,
    /// What stands around fields, when there is any in the piece.
    pub(super) quote: Option<u8>,
    /// What stands for nothing.
    pub(super) missing: &'a [String],
    pub(super) decimal_comma: bool,
}

/// A field that is not what its column is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) row: usize,
    pub(super) text: String,
    /// Whether its quotes end before it does.
    pub(super) quotes: bool,
}

/// What a field is looked at as.
trait Part {
    fn of(text: &str) -> &Self;
    fn cut(text: &str, from: usize, to: usize) -> &Self;
}

impl Part for str {
    fn of(text: &str) -> &Self {
        text
    }

    #[inline]
    fn cut(text: &str, from: usize, to: usize) -> &Self {
        // What a field ends with is a character of its own, so nothing is cut in two.
        text.get(from..to).unwrap_or_default()
    }
}

impl Part for [u8] {
    fn of(text: &str) -> &Self {
        text.as_bytes()
    }

    #[inline]
    fn cut(text: &str, from: usize, to: usize) -> &Self {
        text.as_bytes().get(from..to).unwrap_or_default()
    }
}

impl Fields<'_> {
    /// The column.
    ///
    /// # Errors
    /// Names the first field that is none of its type.
    pub(super) fn array(self, of: &DataType) -> Result<Box<dyn Array>, Wrong> {
        match of {
            DataType::Int64 => self.numbers(ArrowDataType::Int64, integer),
            DataType::Int32 => self.numbers(ArrowDataType::Int32, small),
            DataType::Float64 if self.decimal_comma => {
                self.numbers(ArrowDataType::Float64, |text| number(&with_point(text)))
            }
            DataType::Float64 => self.numbers(ArrowDataType::Float64, number),
            DataType::Float32 if self.decimal_comma => self
                .numbers(ArrowDataType::Float32, |text| {
                    small_number(&with_point(text))
                }),
            DataType::Float32 => self.numbers(ArrowDataType::Float32, small_number),
            DataType::Boolean => self.booleans(),
            DataType::Date => self.moments(ArrowDataType::Date32, day),
            DataType::Time => {
                let to = ArrowDataType::Time64(TimeUnit::Nanosecond);
                self.moments(to, |text| physical(text, of))
            }
            DataType::Datetime(_, zone) => {
                let zone = zone
                    .as_ref()
                    .map(|_| TimeZone::UTC.to_string().as_str().into());
                let to = ArrowDataType::Timestamp(TimeUnit::Microsecond, zone);
                self.moments(to, |text| physical(text, of))
            }
            _ => self.texts(),
        }
    }

    /// Gives `take` each field, or nothing where there is none, and if the field stands in the piece as it is, the piece
    /// from there on; it says whether it could use it.
    #[inline]
    fn each<P: Part + ?Sized>(
        self,
        mut take: impl FnMut(Option<&P>, &[u8]) -> bool,
    ) -> Result<(), Wrong> {
        let plain = self.quote.is_none() && self.missing.is_empty();
        let bytes = self.text.as_bytes();
        for row in 0..self.located.rows() {
            let (from, mut to) = self.located.field(row, self.column);
            if self.last && to > from && bytes.get(to - 1) == Some(&b'\r') {
                to -= 1;
            }
            let good = if from >= to {
                take(None, &[])
            } else if plain {
                let and_more = bytes.get(from..).unwrap_or_default();
                take(Some(P::cut(self.text, from, to)), and_more)
            } else {
                match self.bare(from, to) {
                    Some(text) if self.missing.iter().any(|missing| *missing == text) => {
                        take(None, &[])
                    }
                    Some(text) => take(Some(P::of(&text)), &[]),
                    None => false,
                }
            };
            if !good {
                return Err(self.wrong(row, from, to));
            }
        }
        Ok(())
    }

    /// A field without its quotes.
    fn bare(&self, from: usize, to: usize) -> Option<Cow<'_, str>> {
        let text = self.text.get(from..to).unwrap_or_default();
        match self.quote {
            Some(quote) if text.as_bytes().first() == Some(&quote) => unquoted(text, quote),
            _ => Some(Cow::Borrowed(text)),
        }
    }

    #[cold]
    fn wrong(&self, row: usize, from: usize, to: usize) -> Wrong {
        let bare = self.bare(from, to);
        Wrong {
            row,
            quotes: bare.is_none(),
            text: bare
                .unwrap_or_else(|| self.text.get(from..to).unwrap_or_default().into())
                .into_owned(),
        }
    }

    fn numbers<T: NativeType>(
        self,
        to: ArrowDataType,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Box<dyn Array>, Wrong> {
        let mut values = Values::with_capacity(self.located.rows());
        self.each(|field: Option<&[u8]>, _| {
            let text = field.map(without_spaces).unwrap_or_default();
            values.push(read(text)) || text.is_empty()
        })?;
        Ok(values.array(to))
    }

    fn booleans(self) -> Result<Box<dyn Array>, Wrong> {
        let mut values = MutableBooleanArray::with_capacity(self.located.rows());
        self.each(|field: Option<&[u8]>, _| {
            let text = field.unwrap_or_default();
            let value = boolean(text);
            values.push(value);
            value.is_some() || text.is_empty()
        })?;
        Ok(values.as_box())
    }

    fn moments<T: NativeType>(
        self,
        to: ArrowDataType,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Box<dyn Array>, Wrong> {
        let mut values = Values::with_capacity(self.located.rows());
        self.each(|field: Option<&str>, _| {
            let text = field.unwrap_or_default();
            values.push(read(text)) || text.is_empty()
        })?;
        Ok(values.array(to))
    }

    fn texts(self) -> Result<Box<dyn Array>, Wrong> {
        let mut values = MutableBinaryViewArray::<str>::with_capacity(self.located.rows());
        self.each(|field: Option<&str>, and_more| {
            match field.map(|text| (short(text.len(), and_more), text)) {
                Some((Some(view), _)) => values.push_view(view, &[]),
                Some((None, text)) => values.push_value(text),
                None => values.push_null(),
            }
            true
        })?;
        Ok(values.as_box())
    }
}

/// Values of a fixed width.
struct Values<T> {
    values: Vec<T>,
    /// Which of them are there, once one is not.
    there: Option<MutableBitmap>,
}

impl<T: NativeType> Values<T> {
    fn with_capacity(rows: usize) -> Self {
        Self {
            values: Vec::with_capacity(rows),
            there: None,
        }
    }

    /// Says whether there was a value.
    #[inline]
    fn push(&mut self, value: Option<T>) -> bool {
        match (value, &mut self.there) {
            (Some(_), None) => {}
            (Some(_), Some(there)) => there.push(true),
            (None, _) => self.lack(),
        }
        self.values.push(value.unwrap_or_default());
        value.is_some()
    }

    #[cold]
    fn lack(&mut self) {
        let before = self.values.len();
        let there = || {
            let mut there = MutableBitmap::with_capacity(self.values.capacity());
            there.extend_constant(before, true);
            there
        };
        self.there.get_or_insert_with(there).push(false);
    }

    fn array(self, of: ArrowDataType) -> Box<dyn Array> {
        let there = self.there.map(Into::into);
        PrimitiveArray::new(of, self.values.into(), there).boxed()
    }
}

/// A text of up to twelve bytes as polars keeps it, taken from more than its own bytes in one go.
#[inline]
fn short(length: usize, and_more: &[u8]) -> Option<View> {
    let bytes = and_more.first_chunk::<16>()?;
    let length = u32::try_from(length)
        .ok()
        .filter(|length| *length <= View::MAX_INLINE_SIZE)?;
    let bytes = u128::from_le_bytes(*bytes) & ((1 << (8 * length)) - 1);
    let words = bytes.to_le_bytes();
    let ([prefix, buffer_idx, offset, _], _) = words.as_chunks::<4>() else {
        return None;
    };
    Some(View {
        length,
        prefix: u32::from_ne_bytes(*prefix),
        buffer_idx: u32::from_ne_bytes(*buffer_idx),
        offset: u32::from_ne_bytes(*offset),
    })
}

fn small(text: &[u8]) -> Option<i32> {
    integer(text)?.try_into().ok()
}

/// Whether a field's text, without its quotes, can be read as a value of a type.
pub(crate) fn fits(text: &str, of: &DataType, decimal_comma: bool) -> bool {
    let bytes = without_spaces(text.as_bytes());
    text.is_empty()
        || match of {
            DataType::Int64 => bytes.is_empty() || integer(bytes).is_some(),
            DataType::Int32 => bytes.is_empty() || small(bytes).is_some(),
            DataType::Float64 | DataType::Float32 if decimal_comma => {
                bytes.is_empty() || number(&with_point(bytes)).is_some()
            }
            DataType::Float64 | DataType::Float32 => bytes.is_empty() || number(bytes).is_some(),
            DataType::Boolean => boolean(text.as_bytes()).is_some(),
            of if of.is_temporal() => physical(text, of).is_some(),
            _ => true,
        }
}
