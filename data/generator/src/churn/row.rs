//! A customer as a row of the table.

use super::customer::{Contract, Customer, Internet, Payment};

/// The columns of the public table, in its order; the label is the last.
pub const COLUMNS: [&str; 21] = [
    "customerID",
    "gender",
    "SeniorCitizen",
    "Partner",
    "Dependents",
    "tenure",
    "PhoneService",
    "MultipleLines",
    "InternetService",
    "OnlineSecurity",
    "OnlineBackup",
    "DeviceProtection",
    "TechSupport",
    "StreamingTV",
    "StreamingMovies",
    "Contract",
    "PaperlessBilling",
    "PaymentMethod",
    "MonthlyCharges",
    "TotalCharges",
    "Churn",
];

/// Places in [`COLUMNS`] that flaws know by name.
pub(super) const CUSTOMER_ID: usize = 0;
pub(super) const MONTHLY_CHARGES: usize = 18;
pub(super) const TOTAL_CHARGES: usize = 19;

/// The places of the features that are words.
pub(super) const WORDS: [usize; 15] = [1, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17];

/// How many ids there are: four digits, a hyphen, five letters.
const IDS: u64 = 10_000 * 26_u64.pow(5);

/// The number after which the next day's ids begin.
const IDS_A_DAY: u64 = 1 << 24;

/// The id of a customer, such as `7590-VHVEG`.
///
/// Multiplying by a number that shares no factor with [`IDS`] is a permutation: ids look random and never collide.
pub(super) fn customer_id(seed: u64, day: u32, row: u32) -> String {
    let number = (u64::from(day) * IDS_A_DAY + u64::from(row)) % IDS;
    let first = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) % IDS;
    let place = (u128::from(number) * 73_426_987_931 + u128::from(first)) % u128::from(IDS);
    let digits = place % 10_000;
    let mut rest = place / 10_000;
    let mut letters = String::new();
    for _ in 0..5 {
        letters.extend(('A'..='Z').nth(usize::try_from(rest % 26).unwrap_or_default()));
        rest /= 26;
    }
    format!("{digits:04}-{letters}")
}

/// The row of a customer, without flaws.
pub(super) fn cells(customer: &Customer, id: String) -> [String; COLUMNS.len()] {
    let household = customer.household;
    let line = customer.internet;
    let extra = |place: usize| {
        line.map_or("No internet service", |line: Internet| {
            yes_no(line.extras[place])
        })
    };
    [
        id,
        if customer.female { "Female" } else { "Male" }.to_owned(),
        i32::from(household.senior).to_string(),
        yes_no(household.partner).to_owned(),
        yes_no(household.dependents).to_owned(),
        customer.tenure.to_string(),
        yes_no(customer.several_lines.is_some()).to_owned(),
        customer
            .several_lines
            .map_or("No phone service", yes_no)
            .to_owned(),
        line.map_or("No", |line| if line.fiber { "Fiber optic" } else { "DSL" })
            .to_owned(),
        extra(0).to_owned(),
        extra(1).to_owned(),
        extra(2).to_owned(),
        extra(3).to_owned(),
        extra(4).to_owned(),
        extra(5).to_owned(),
        contract(customer.contract).to_owned(),
        yes_no(customer.paperless).to_owned(),
        payment(customer.payment).to_owned(),
        dollars(customer.monthly),
        // The public table has a single space where there was no bill yet.
        customer.total.map_or(" ".to_owned(), dollars),
        yes_no(customer.left).to_owned(),
    ]
}

fn yes_no(value: bool) -> &'static str {
    if value { "Yes" } else { "No" }
}

fn contract(contract: Contract) -> &'static str {
    match contract {
        Contract::Monthly => "Month-to-month",
        Contract::OneYear => "One year",
        Contract::TwoYears => "Two year",
    }
}

fn payment(payment: Payment) -> &'static str {
    match payment {
        Payment::ElectronicCheck => "Electronic check",
        Payment::MailedCheck => "Mailed check",
        Payment::BankTransfer => "Bank transfer (automatic)",
        Payment::CreditCard => "Credit card (automatic)",
    }
}

fn dollars(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use std::collections::HashSet;

    #[test]
    fn ids_have_the_public_tables_form_and_never_repeat() {
        let ids: HashSet<String> = (0..4)
            .flat_map(|day| (0..5_000).map(move |row| customer_id(1, day, row)))
            .collect();
        assert_eq!(ids.len(), 20_000);
        for id in ids {
            let (digits, letters) = id.split_once('-').unwrap();
            assert!(
                digits.len() == 4 && digits.chars().all(|digit| digit.is_ascii_digit()),
                "{id}"
            );
            assert!(
                letters.len() == 5 && letters.chars().all(|letter| letter.is_ascii_uppercase()),
                "{id}"
            );
        }
    }

    #[test]
    fn the_ids_multiplier_shares_no_factor_with_their_number() {
        for prime in [2, 5, 13] {
            assert_eq!(IDS % prime, 0);
            assert_ne!(73_426_987_931 % prime, 0);
        }
    }

    #[test]
    fn words_are_words_in_every_row() {
        for row in 0..500 {
            let customer = Customer::draw(&mut Random::new(row));
            let cells = cells(&customer, "id".to_owned());
            for (place, cell) in cells.iter().enumerate().take(20).skip(1) {
                let word = cell.starts_with(|first: char| first.is_ascii_alphabetic());
                assert_eq!(word, WORDS.contains(&place), "{}: {cell}", COLUMNS[place]);
            }
        }
    }

    #[test]
    fn cents_are_written_as_dollars() {
        for (cents, text) in [
            (0, "0.00"),
            (5, "0.05"),
            (2_985, "29.85"),
            (868_480, "8684.80"),
        ] {
            assert_eq!(dollars(cents), text);
        }
    }
}
