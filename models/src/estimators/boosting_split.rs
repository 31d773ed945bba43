//! How boosting divides a leaf, and what it must know of the features to do so.

use crate::estimators::bins::MISSING;
use crate::estimators::boosting_sums::Sums;

/// Which bins go left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Those up to this one.
    UpTo(u8),
    /// Those of a set, of categories.
    Among([u64; 4]),
}

/// A way to split a leaf.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Split {
    pub(crate) gain: f64,
    pub(crate) feature: usize,
    pub(crate) rule: Rule,
    pub(crate) missing_left: bool,
    pub(crate) left: Sums,
}

impl Split {
    /// Whether rows of this bin go left.
    pub(crate) fn goes_left(&self, bin: u8) -> bool {
        if bin == MISSING {
            self.missing_left
        } else {
            self.rule.has(bin)
        }
    }
}

impl Rule {
    /// Whether the bin goes left.
    pub(crate) fn has(&self, bin: u8) -> bool {
        match self {
            Self::UpTo(last) => bin <= *last,
            Self::Among(set) => set[usize::from(bin >> 6)] >> (bin & 63) & 1 == 1,
        }
    }
}

/// What is known of the features beside their bins; empty lists say nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Nature {
    /// Of every feature whether its numbers are categories.
    pub(crate) categories: Vec<bool>,
    /// Of every feature the sign with which the score may only change as it grows; 0 when either.
    pub(crate) monotone: Vec<i8>,
}

/// Between what the value of a leaf must be.
pub(crate) type Bounds = (f64, f64);
/// Any value will do.
pub(crate) const FREE: Bounds = (f64::NEG_INFINITY, f64::INFINITY);
