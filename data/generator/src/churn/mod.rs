//! System A: the customers of a telephone company, with the columns of the public Telco churn table.
//!
//! A customer is drawn from the number of its day and row alone, then written with the flaws of a real export. Day 0 is
//! the labelled history; day 1 is the committed `today.csv`; later days serve simulated months, with a [`Shift`] from
//! some day on.

mod customer;
mod flaws;
mod leaving;
mod row;
mod shift;

pub use row::COLUMNS;
pub use shift::Shift;

use crate::random::Random;
use customer::Customer;

/// The day whose customers are the labelled history.
const HISTORY: u32 = 0;

/// What one part of a table is drawn for; each has its own stream of random numbers.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Customer = 0,
    Shift = 1,
    Flaws = 2,
    Blanks = 3,
    Duplicates = 4,
}

/// What a table is made from: the same settings give the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Any number; another one gives other customers of the same kind.
    pub seed: u64,
    /// How many different customers; one in 200 is written twice. More than 16,777,216 would share their ids with the
    /// next day's.
    pub customers: u32,
    /// A change in two columns, if any; it never touches the history.
    pub shift: Option<Shift>,
}

impl Settings {
    /// Settings for so many customers, without a shift.
    pub fn new(seed: u64, customers: u32) -> Self {
        Self {
            seed,
            customers,
            shift: None,
        }
    }

    fn random(&self, day: u32, row: u32, purpose: Purpose) -> Random {
        Random::stream(self.seed, &[u64::from(day), u64::from(row), purpose as u64])
    }

    fn customer(&self, day: u32, row: u32) -> Customer {
        let mut customer = Customer::draw(&mut self.random(day, row, Purpose::Customer));
        if let Some(shift) = self
            .shift
            .as_ref()
            .filter(|shift| day != HISTORY && day >= shift.from_day)
        {
            shift.apply(&mut customer, &mut self.random(day, row, Purpose::Shift));
        }
        customer
    }

    /// The cells of one customer, all of [`COLUMNS`], flaws included.
    fn cells(&self, day: u32, row: u32) -> [String; COLUMNS.len()] {
        let mut cells = row::cells(
            &self.customer(day, row),
            row::customer_id(self.seed, day, row),
        );
        flaws::spoil(&mut cells, &mut self.random(day, row, Purpose::Flaws));
        cells
    }
}

/// The labelled history as CSV: every customer once, some exact duplicates, the label `Churn` in the last column.
pub fn history(settings: &Settings) -> String {
    let lines = (0..settings.customers)
        .map(|row| settings.cells(HISTORY, row).join(","))
        .collect();
    table(settings, HISTORY, &COLUMNS, lines)
}

/// The customers of one day as CSV, without the label. One customer in 400 has no id.
pub fn today(settings: &Settings, day: u32) -> String {
    let features = COLUMNS.len() - 1;
    let blanks = flaws::blank_ids(
        settings.customers,
        &mut settings.random(day, 0, Purpose::Blanks),
    );
    let line = |row: u32| {
        let mut cells = settings.cells(day, row);
        if let Some(blank) = blanks.get(&i64::from(row)) {
            (*blank).clone_into(&mut cells[row::CUSTOMER_ID]);
        }
        cells[..features].join(",")
    };
    table(
        settings,
        day,
        &COLUMNS[..features],
        (0..settings.customers).map(line).collect(),
    )
}

fn table(settings: &Settings, day: u32, header: &[&str], mut lines: Vec<String>) -> String {
    flaws::duplicate(
        &mut lines,
        &mut settings.random(day, 0, Purpose::Duplicates),
    );
    lines.insert(0, header.join(","));
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn column<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
        let place = table
            .lines()
            .next()
            .unwrap()
            .split(',')
            .position(|column| column == name)
            .unwrap();
        table
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(place).unwrap())
            .collect()
    }

    #[test]
    fn history_has_every_customer_and_some_exact_duplicates() {
        let table = history(&Settings::new(1, 1_000));
        assert_eq!(table.lines().count(), 1 + 1_000 + 5);
        assert_eq!(table.lines().skip(1).collect::<HashSet<_>>().len(), 1_000);
        assert_eq!(
            column(&table, "customerID")
                .into_iter()
                .collect::<HashSet<_>>()
                .len(),
            1_000
        );
        assert!(table.ends_with('\n') && !table.ends_with("\n\n"));
    }

    #[test]
    fn every_line_has_the_cells_of_the_header() {
        let settings = Settings::new(2, 400);
        for (table, cells) in [(history(&settings), 21), (today(&settings, 3), 20)] {
            assert!(table.lines().all(|line| line.split(',').count() == cells));
        }
    }

    #[test]
    fn the_label_is_clean_and_about_a_quarter_leaves() {
        let table = history(&Settings::new(3, 4_000));
        let labels = column(&table, "Churn");
        assert!(labels.iter().all(|label| ["Yes", "No"].contains(label)));
        let share = labels.iter().filter(|label| **label == "Yes").count() * 1_000 / labels.len();
        assert!((240..=290).contains(&share), "{share}");
    }

    #[test]
    fn tenure_is_never_out_of_range() {
        let table = history(&Settings::new(4, 4_000));
        let tenures: Vec<i64> = column(&table, "tenure")
            .iter()
            .map(|tenure| tenure.parse().unwrap())
            .collect();
        assert_eq!(
            (tenures.iter().min(), tenures.iter().max()),
            (Some(&0), Some(&72))
        );
    }

    #[test]
    fn today_lacks_the_label_and_a_few_ids() {
        let table = today(&Settings::new(5, 2_000), 1);
        assert!(
            table
                .lines()
                .next()
                .unwrap()
                .ends_with("MonthlyCharges,TotalCharges")
        );
        let ids = column(&table, "customerID");
        let blank = ids.iter().filter(|id| id.trim().is_empty()).count();
        assert!((4..=6).contains(&blank), "{blank}");
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 2_000 - 5 + 2);
    }

    #[test]
    fn days_share_no_customer_with_each_other_or_the_history() {
        let settings = Settings::new(6, 2_000);
        let mut seen = HashSet::new();
        for table in [history(&settings), today(&settings, 1), today(&settings, 2)] {
            let ids: HashSet<String> = column(&table, "customerID")
                .into_iter()
                .map(str::to_owned)
                .collect();
            for id in ids.into_iter().filter(|id| !id.trim().is_empty()) {
                assert!(seen.insert(id.clone()), "{id} comes twice");
            }
        }
    }

    #[test]
    fn a_longer_table_keeps_the_customers_of_a_shorter_one() {
        let short = history(&Settings::new(7, 100));
        let long = history(&Settings::new(7, 300));
        let known: HashSet<&str> = long.lines().collect();
        assert!(short.lines().all(|line| known.contains(line)));
    }

    #[test]
    fn a_shift_changes_two_columns_from_its_day_on() {
        let plain = Settings::new(8, 1_000);
        let shifted = Settings {
            shift: Some(Shift::from_day(20)),
            ..plain.clone()
        };
        assert_eq!(history(&plain), history(&shifted));
        assert_eq!(today(&plain, 19), today(&shifted, 19));
        let (before, after) = (today(&plain, 20), today(&shifted, 20));
        for name in &COLUMNS[..20] {
            let changed = ["PaymentMethod", "MonthlyCharges"].contains(name);
            assert_eq!(
                column(&before, name) != column(&after, name),
                changed,
                "{name}"
            );
        }
    }
}
