//! A change of the world that a drift report must see.

use super::customer::{Customer, Payment};
use crate::random::Random;

/// From a day on, `MonthlyCharges` rises and customers move from electronic checks to credit cards. No other column
/// moves: past bills stay as they were, and whether a customer leaves was settled before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// The first day with the change.
    pub from_day: u32,
    /// By how many per cent the monthly bill rises.
    pub price_rise: u32,
    /// How many per cent of those who pay by electronic check now pay by credit card.
    pub movers: u32,
}

impl Shift {
    /// A rise by 15 % and half of the payers from this day on: clearly beyond the usual thresholds.
    pub fn from_day(day: u32) -> Self {
        Self {
            from_day: day,
            price_rise: 20,
            movers: 50,
        }
    }

    pub(super) fn apply(&self, customer: &mut Customer, random: &mut Random) {
        customer.monthly = customer.monthly * (100 + i64::from(self.price_rise)) / 100;
        if customer.payment == Payment::ElectronicCheck
            && random.per_mille(10 * i64::from(self.movers))
        {
            customer.payment = Payment::CreditCard;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_the_payers_and_the_price_by_what_it_says() {
        let shift = Shift {
            from_day: 1,
            price_rise: 10,
            movers: 30,
        };
        let (mut before, mut after) = (0, 0);
        for row in 0..3_000 {
            let mut customer = Customer::draw(&mut Random::new(row));
            let price = customer.monthly;
            before += i64::from(customer.payment == Payment::ElectronicCheck);
            shift.apply(&mut customer, &mut Random::stream(1, &[row]));
            after += i64::from(customer.payment == Payment::ElectronicCheck);
            assert_eq!(customer.monthly, price * 110 / 100);
        }
        let stayed = after * 100 / before;
        assert!((66..=74).contains(&stayed), "{stayed}");
    }
}
