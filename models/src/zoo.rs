//! The models that ship, as files within the binary: `zoo:churn`.
//!
//! Each has a directory below `models/zoo/` with its `model.onnx` and a card for people. A new one is one line in the list `ALL`.

/// A model that ships.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// The name after `zoo:`.
    pub name: &'static str,
    /// The `.onnx` file.
    pub content: &'static [u8],
}

/// The entries of [`ALL`], each by the name of its directory.
macro_rules! shipped {
    ($($name:literal)*) => {
        &[$(Shipped {
            name: $name,
            content: include_bytes!(concat!("../zoo/", $name, "/model.onnx")),
        }),*]
    };
}

/// All models that ship, by name.
const ALL: &[Shipped] = shipped! { "churn" "credit_risk" };

/// All models that ship, by name.
pub fn all() -> &'static [Shipped] {
    ALL
}

/// The model of this name.
pub fn find(name: &str) -> Option<Shipped> {
    ALL.iter().find(|model| model.name == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scorer::{Cell, Model};

    #[test]
    fn each_can_be_used() {
        assert!(ALL.is_sorted_by_key(|model| model.name));
        for Shipped { name, content } in ALL {
            let model = Model::load(content);
            assert!(model.is_ok(), "{name}: {:?}", model.err());
        }
    }

    fn probability(name: &str, cells: &[(&str, Cell)]) -> f64 {
        let model = Model::load(find(name).unwrap().content).unwrap();
        model.predict_row(cells.to_vec(), None).unwrap().values[1]
    }

    #[test]
    fn those_who_pay_monthly_leave_and_those_who_paid_late_do_so_again() {
        let customer = |contract: &str, tenure: f64| {
            let cells = [
                ("Contract", Cell::Text(contract.into())),
                ("tenure", Cell::Number(tenure)),
                ("InternetService", Cell::Text("Fiber optic".into())),
            ];
            probability("churn", &cells)
        };
        assert!(customer("Month-to-month", 2.0) > 0.5);
        assert!(customer("Two year", 60.0) < customer("Month-to-month", 2.0));
        let applicant = |late: f64, used: f64| {
            let cells = [
                ("late_payments", Cell::Number(late)),
                ("credit_used", Cell::Number(used)),
            ];
            probability("credit_risk", &cells)
        };
        assert!(applicant(4.0, 1.0) > applicant(0.0, 0.1));
    }

    #[test]
    fn each_directory_is_listed() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/zoo");
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let made = entries.filter(|entry| entry.path().join("model.onnx").is_file());
        for entry in made {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Texts are scored by another operator, from a directory.
            let listed = find(&name).is_some() || entry.path().join("tokenizer.json").is_file();
            assert!(listed, "`{name}` is not in the list of models that ship");
        }
    }

    #[test]
    fn what_does_not_ship_is_not_found() {
        assert!(find("nothing").is_none());
        assert_eq!(all().len(), ALL.len());
    }
}
