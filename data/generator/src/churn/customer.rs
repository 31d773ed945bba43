//! One customer, as the company knows it before an export spoils the row.
//!
//! The shares follow the public Telco table: a contract first, then how long the customer has stayed with it, what
//! they use, how they pay, what that costs. All shares are per mille, all amounts cents.

use super::leaving;
use crate::random::Random;

/// How long a customer is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contract {
    Monthly,
    OneYear,
    TwoYears,
}

/// How a customer pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payment {
    ElectronicCheck,
    MailedCheck,
    BankTransfer,
    CreditCard,
}

/// Who lives there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Household {
    pub(super) senior: bool,
    pub(super) partner: bool,
    pub(super) dependents: bool,
}

/// An internet line and what was booked with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Internet {
    /// Fibre; otherwise DSL.
    pub(super) fiber: bool,
    /// In the order of the columns: security, backup, protection, support, television, movies.
    pub(super) extras: [bool; 6],
}

/// Places in [`Internet::extras`].
pub(super) const SECURITY: usize = 0;
pub(super) const SUPPORT: usize = 3;
pub(super) const TELEVISION: usize = 4;
pub(super) const MOVIES: usize = 5;

/// A customer and whether it left.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    pub(super) female: bool,
    pub(super) household: Household,
    /// Months since the customer came, 0 to 72.
    pub(super) tenure: i64,
    /// None: no telephone; otherwise whether there are several lines.
    pub(super) several_lines: Option<bool>,
    pub(super) internet: Option<Internet>,
    pub(super) contract: Contract,
    pub(super) paperless: bool,
    pub(super) payment: Payment,
    /// The monthly bill in cents.
    pub(super) monthly: i64,
    /// All bills so far in cents; none before the first.
    pub(super) total: Option<i64>,
    pub(super) left: bool,
}

impl Customer {
    /// Draws a customer. The order of the draws is part of the format: another order is another customer.
    pub(super) fn draw(random: &mut Random) -> Self {
        let contract = draw_contract(random);
        let tenure = draw_tenure(contract, random);
        let telephone = random.per_mille(903);
        let internet = draw_internet(contract, tenure, telephone, random);
        let fiber = internet.is_some_and(|line| line.fiber);
        let lines = 180 + 7 * tenure + if fiber { 120 } else { 0 };
        let several_lines = telephone.then(|| random.per_mille(lines));
        let monthly = draw_monthly(several_lines, internet, random);
        let mut customer = Self {
            female: random.per_mille(495),
            household: draw_household(tenure, fiber, random),
            tenure,
            several_lines,
            internet,
            contract,
            paperless: random.per_mille(by_line(internet, [770, 550, 290])),
            payment: draw_payment(contract, tenure, internet, random),
            monthly,
            total: draw_total(tenure, monthly, random),
            left: false,
        };
        customer.left = leaving::score(&customer) + leaving::noise(random) > 0;
        customer
    }
}

/// The value for fibre, DSL and no internet, in this order.
pub(super) fn by_line(internet: Option<Internet>, [fiber, dsl, none]: [i64; 3]) -> i64 {
    match internet {
        Some(Internet { fiber: true, .. }) => fiber,
        Some(Internet { fiber: false, .. }) => dsl,
        None => none,
    }
}

/// The value for a monthly, a one-year and a two-year contract, in this order.
pub(super) fn by_contract(contract: Contract, [monthly, one, two]: [i64; 3]) -> i64 {
    match contract {
        Contract::Monthly => monthly,
        Contract::OneYear => one,
        Contract::TwoYears => two,
    }
}

fn draw_contract(random: &mut Random) -> Contract {
    match random.below(1_000) {
        0..550 => Contract::Monthly,
        550..760 => Contract::OneYear,
        _ => Contract::TwoYears,
    }
}

/// Many new customers by the month, many old ones bound for two years, six years at most; the few who signed for two
/// years and wait for their first bill have 0.
fn draw_tenure(contract: Contract, random: &mut Random) -> i64 {
    let kind = random.below(1_000);
    let [first, second, third] = [0; 3].map(|_: i64| random.below(1_000));
    let months = match (contract, kind) {
        (Contract::Monthly, 995..) | (Contract::TwoYears, 6..190) => 72,
        // The square and the cube of a uniform number crowd at 0.
        (Contract::Monthly, 0..600) => 1 + 62 * first * first * first / 1_000_000_000,
        (Contract::Monthly, _) => 1 + 66 * first * first / 1_000_000,
        (Contract::OneYear, 0..600) => 1 + 72 * first.max(second) / 1_000,
        (Contract::OneYear, _) => 1 + 72 * first / 1_000,
        (Contract::TwoYears, 0..6) => 0,
        (Contract::TwoYears, _) => 1 + 72 * first.max(second).max(third) / 1_000,
    };
    months.min(72)
}

/// Fibre needs a telephone; who binds for years takes it less often and adds more extras.
fn draw_internet(
    contract: Contract,
    tenure: i64,
    telephone: bool,
    random: &mut Random,
) -> Option<Internet> {
    let place = random.below(1_000);
    let fiber_below = if telephone {
        by_contract(contract, [609, 405, 281])
    } else {
        0
    };
    let line_below = if telephone {
        by_contract(contract, [851, 726, 584])
    } else {
        1_000
    };
    let fiber = place < fiber_below;
    let bound = by_contract(contract, [0, 90, 150]);
    let steady = if fiber { 0 } else { 150 };
    let base = 5 * tenure + bound;
    let shares = [
        90 + base + steady,
        200 + 6 * tenure + bound / 2,
        170 + 6 * tenure + bound,
        90 + base + steady,
        240 + 6 * tenure + if fiber { 120 } else { 0 },
        240 + 6 * tenure + if fiber { 120 } else { 0 },
    ];
    let extras = shares.map(|share| random.per_mille(share));
    (place < line_below).then_some(Internet { fiber, extras })
}

fn draw_household(tenure: i64, fiber: bool, random: &mut Random) -> Household {
    let senior = random.per_mille(if fiber { 265 } else { 82 });
    let partner = random.per_mille(300 + 11 * tenure / 2);
    let dependents = random.per_mille(match (partner, senior) {
        (true, false) => 590,
        (false, false) => 105,
        (true, true) => 150,
        (false, true) => 20,
    });
    Household {
        senior,
        partner,
        dependents,
    }
}

/// Electronic checks go with fibre and short contracts, letters with customers who have no internet or are new.
fn draw_payment(
    contract: Contract,
    tenure: i64,
    internet: Option<Internet>,
    random: &mut Random,
) -> Payment {
    let electronic =
        by_line(internet, [600, 370, 120]) * by_contract(contract, [105, 65, 37]) / 100;
    let mailed = by_line(internet, [330, 500, 680]) - 5 * tenure;
    let [first, second, third] = [0; 3].map(|_: i64| random.below(1_000));
    if first < electronic {
        Payment::ElectronicCheck
    } else if second < mailed {
        Payment::MailedCheck
    } else if third < 503 {
        Payment::BankTransfer
    } else {
        Payment::CreditCard
    }
}

/// The price list, in cents, with a dollar or so of old tariffs either way in steps of five cents.
fn draw_monthly(
    several_lines: Option<bool>,
    internet: Option<Internet>,
    random: &mut Random,
) -> i64 {
    let telephone = match several_lines {
        None => 0,
        Some(false) => 2_000,
        Some(true) => 2_500,
    };
    let extras: i64 = internet.map_or(0, |line| {
        let prices = [500, 500, 500, 500, 1_000, 1_000];
        line.extras
            .iter()
            .zip(prices)
            .filter(|(booked, _)| **booked)
            .map(|(_, price)| price)
            .sum()
    });
    let tariff = by_line(internet, [70, 70, 25]) * random.normal() / 1_000 / 5 * 5;
    telephone + by_line(internet, [5_000, 2_500, 0]) + extras + tariff
}

/// What the months cost at today's price, give or take what prices and bookings were before.
fn draw_total(tenure: i64, monthly: i64, random: &mut Random) -> Option<i64> {
    let change = random.normal() * 25 / 1_000;
    match tenure {
        0 => None,
        1 => Some(monthly),
        _ => Some(tenure * monthly * (1_000 + change) / 1_000 / 5 * 5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customers() -> impl Iterator<Item = Customer> {
        (0..5_000).map(|row| Customer::draw(&mut Random::stream(9, &[row])))
    }

    /// How many of a thousand customers have it.
    fn share(has: impl Fn(&Customer) -> bool) -> usize {
        customers().filter(has).count() / 5
    }

    #[test]
    fn shares_are_those_of_the_public_table() {
        let fiber = |customer: &Customer| customer.internet.is_some_and(|line| line.fiber);
        let cases: [(&str, usize, usize); 8] = [
            ("senior", share(|customer| customer.household.senior), 162),
            ("partner", share(|customer| customer.household.partner), 483),
            (
                "dependents",
                share(|customer| customer.household.dependents),
                300,
            ),
            ("fibre", share(fiber), 440),
            (
                "no internet",
                share(|customer| customer.internet.is_none()),
                217,
            ),
            (
                "monthly contract",
                share(|customer| customer.contract == Contract::Monthly),
                550,
            ),
            (
                "electronic check",
                share(|customer| customer.payment == Payment::ElectronicCheck),
                336,
            ),
            ("paperless", share(|customer| customer.paperless), 592),
        ];
        for (name, found, expected) in cases {
            assert!(
                found.abs_diff(expected) <= 35,
                "{name}: {found}, expected about {expected}"
            );
        }
    }

    #[test]
    fn charges_follow_what_is_booked() {
        for customer in customers() {
            assert!((1_800..=12_400).contains(&customer.monthly), "{customer:?}");
            assert!(
                customer.several_lines.is_some() || customer.internet.is_some(),
                "{customer:?}"
            );
        }
    }

    #[test]
    fn the_total_is_about_tenure_times_monthly() {
        for customer in customers() {
            let Some(total) = customer.total else {
                assert_eq!(customer.tenure, 0);
                continue;
            };
            let exact = customer.tenure * customer.monthly;
            assert!(
                (total - exact).abs() * 100 <= exact * 15 + 500,
                "{customer:?}"
            );
        }
    }
}
