//! Decimal numbers that are gathered.

use polars_arrow::{
    array::{Array, MutablePrimitiveArray, PrimitiveArray},
    datatypes::ArrowDataType,
};

use super::numeric::{self, Decimal};

/// Decimal numbers, all at the greatest scale that has been met.
pub(super) struct Numbers {
    digits: MutablePrimitiveArray<i128>,
    /// How many digits stand behind the point.
    pub(super) scale: u16,
}

impl Numbers {
    /// None yet, with room for so many.
    pub(super) fn new(rows: usize) -> Self {
        Self {
            digits: MutablePrimitiveArray::with_capacity(rows),
            scale: 0,
        }
    }

    /// Adds a number in Postgres' form.
    ///
    /// # Errors
    /// Says why it cannot be held.
    pub(super) fn push(&mut self, bytes: Option<&[u8]>) -> Result<(), &'static str> {
        const TOO_LONG: &str = "a numeric that is not finite or has more than 38 digits";
        let Some(bytes) = bytes else {
            self.digits.push(None);
            return Ok(());
        };
        let Decimal { digits, scale } = numeric::decode(bytes).ok_or(TOO_LONG)?;
        if scale > 38 {
            return Err(TOO_LONG);
        }
        if scale > self.scale {
            self.rescale(scale).ok_or(TOO_LONG)?;
        }
        let digits = scaled(digits, self.scale - scale).ok_or(TOO_LONG)?;
        self.digits.push(Some(digits));
        Ok(())
    }

    fn rescale(&mut self, scale: u16) -> Option<()> {
        for digits in self.digits.values_mut_slice() {
            *digits = scaled(*digits, scale - self.scale)?;
        }
        self.scale = scale;
        Some(())
    }

    /// The numbers at this scale; `None` when they have too many digits then.
    pub(super) fn finish(mut self, scale: u16) -> Option<Box<dyn Array>> {
        self.rescale(scale)?;
        let array: PrimitiveArray<i128> = self.digits.into();
        let of = ArrowDataType::Decimal(38, usize::from(scale));
        Some(array.to(of).boxed())
    }
}

fn scaled(digits: i128, more: u16) -> Option<i128> {
    10_i128
        .checked_pow(u32::from(more))
        .and_then(|factor| digits.checked_mul(factor))
        .filter(|digits| digits.unsigned_abs() < 10_u128.pow(38))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_numbers_get_the_greatest_scale() {
        let mut numbers = Numbers::new(4);
        for text in ["7", "-0.25", "1.5"] {
            let mut bytes = Vec::new();
            numeric::encode_text(text, &mut bytes);
            numbers.push(Some(&bytes)).unwrap();
        }
        numbers.push(None).unwrap();
        assert_eq!(numbers.scale, 2);
        let array = numbers.finish(3).unwrap();
        let array = array
            .as_any()
            .downcast_ref::<PrimitiveArray<i128>>()
            .unwrap();
        let found: Vec<_> = array.iter().map(Option::<&i128>::copied).collect();
        assert_eq!(found, [Some(7_000), Some(-250), Some(1_500), None]);
        let mut long = Numbers::new(2);
        let mut bytes = Vec::new();
        numeric::encode_text(&"9".repeat(38), &mut bytes);
        long.push(Some(&bytes)).unwrap();
        assert!(long.finish(1).is_none());
    }
}
