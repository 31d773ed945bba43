//! Who leaves: a score with some interaction and a good deal of chance.

use super::customer::{
    Contract, Customer, MOVIES, Payment, SECURITY, SUPPORT, TELEVISION, by_contract, by_line,
};
use crate::random::Random;

/// How likely a customer is to leave, in thousandths of a log-odds; the chance comes on top.
///
/// The signs are those of a logistic regression on the public table. The last two terms are what a linear model over the
/// columns can't express: so trees find a little more, and not much.
pub(super) fn score(customer: &Customer) -> i64 {
    let when = |condition: bool, points: i64| if condition { points } else { 0 };
    let extra = |place: usize| customer.internet.is_some_and(|line| line.extras[place]);
    let fiber = customer.internet.is_some_and(|line| line.fiber);
    let monthly = customer.contract == Contract::Monthly;
    let early = customer.tenure.min(18);
    let late = customer.tenure - early;

    -690 + by_contract(customer.contract, [0, -950, -1_900])
        + by_line(customer.internet, [850, 0, -850])
        - 55 * early
        - 18 * late
        + when(customer.payment == Payment::ElectronicCheck, 450)
        + when(customer.paperless, 350)
        + when(customer.household.senior, 300)
        + when(customer.household.dependents, -200)
        + when(customer.several_lines == Some(true), 250)
        + when(extra(SECURITY), -450)
        + when(extra(SUPPORT), -400)
        + when(extra(TELEVISION), 200)
        + when(extra(MOVIES), 200)
        + when(
            fiber && monthly && customer.tenure <= 12 && !extra(SUPPORT),
            500,
        )
        + when(!monthly && customer.monthly > 9_500, 1_000)
}

/// Everything that the columns don't tell.
pub(super) fn noise(random: &mut Random) -> i64 {
    1_720 * random.normal() / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(has: impl Fn(&Customer) -> bool) -> usize {
        let customers = (0..6_000).map(|row| Customer::draw(&mut Random::stream(10, &[row])));
        let chosen: Vec<Customer> = customers.filter(has).collect();
        chosen.iter().filter(|customer| customer.left).count() * 1_000 / chosen.len()
    }

    #[test]
    fn the_known_groups_leave_more_often() {
        let fiber = |customer: &Customer| customer.internet.is_some_and(|line| line.fiber);
        let monthly = |customer: &Customer| customer.contract == Contract::Monthly;
        let electronic = |customer: &Customer| customer.payment == Payment::ElectronicCheck;
        assert!(left(fiber) > 2 * left(|customer| !fiber(customer)));
        assert!(left(monthly) > 4 * left(|customer| !monthly(customer)));
        assert!(left(electronic) > 2 * left(|customer| !electronic(customer)));
        assert!(left(|customer| customer.tenure < 12) > 2 * left(|customer| customer.tenure > 24));
    }
}
