//! The eleven trigger rules: from what a task's upstream tasks have come to, to what becomes of the task.
//!
//! Names and meanings are Airflow's, but that `always` waits for all upstream tasks too, and that `cancelled` and
//! `removed` count as failed.

use crate::{plan::TriggerRule, state::TaskState};

/// How many upstream tasks have come to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upstreams {
    /// All there are.
    pub total: u32,
    /// Those that succeeded.
    pub success: u32,
    /// Those that failed, were cancelled or removed.
    pub failed: u32,
    /// Those that were skipped.
    pub skipped: u32,
    /// Those before which something failed.
    pub upstream_failed: u32,
}

/// What becomes of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may run.
    Run,
    /// It is skipped.
    Skip,
    /// It is not run because something before it failed.
    UpstreamFailed,
}

impl Upstreams {
    /// Counts one more upstream task that has come to its final `state`.
    pub fn count(&mut self, state: TaskState) {
        match state {
            TaskState::Success => self.success += 1,
            TaskState::Skipped => self.skipped += 1,
            TaskState::UpstreamFailed => self.upstream_failed += 1,
            _ => self.failed += 1,
        }
    }

    fn all_done(&self) -> bool {
        self.success + self.failed + self.skipped + self.upstream_failed == self.total
    }
}

impl TriggerRule {
    /// What becomes of a task whose upstream tasks stand like this; `None` while that is open.
    pub fn verdict(self, up: &Upstreams) -> Option<Verdict> {
        use Verdict::{Run, Skip, UpstreamFailed};
        if up.total == 0 {
            return Some(Run);
        }
        let broken = up.failed + up.upstream_failed > 0;
        let early = match self {
            Self::AllSuccess | Self::NoneFailed | Self::NoneFailedMinOneSuccess if broken => {
                Some(UpstreamFailed)
            }
            Self::OneSuccess if up.success > 0 => Some(Run),
            Self::OneFailed if broken => Some(Run),
            Self::OneDone if up.success + up.failed > 0 => Some(Run),
            _ => None,
        };
        if early.is_some() || !up.all_done() {
            return early;
        }
        let all_skipped = up.skipped == up.total;
        Some(match self {
            Self::AllSuccess | Self::NoneSkipped if up.skipped > 0 => Skip,
            Self::AllFailed if up.success + up.skipped > 0 => Skip,
            Self::OneSuccess if !all_skipped => UpstreamFailed,
            Self::OneSuccess | Self::OneFailed | Self::OneDone => Skip,
            Self::NoneFailedMinOneSuccess if all_skipped => Skip,
            Self::AllSkipped if !all_skipped => Skip,
            _ => Run,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(rule: TriggerRule, states: &str) -> Option<Verdict> {
        let mut up = Upstreams {
            total: u32::try_from(states.len()).unwrap(),
            ..Upstreams::default()
        };
        for state in states.chars() {
            match state {
                's' => up.count(TaskState::Success),
                'f' => up.count(TaskState::Failed),
                'k' => up.count(TaskState::Skipped),
                'u' => up.count(TaskState::UpstreamFailed),
                _ => {}
            }
        }
        rule.verdict(&up)
    }

    #[test]
    fn every_rule_by_table() {
        use TriggerRule as R;
        use Verdict::{Run, Skip, UpstreamFailed as Up};
        // s success, f failed, k skipped, u upstream_failed, . not done yet
        let table: [(R, &[(&str, Option<Verdict>)]); 11] = [
            (
                R::AllSuccess,
                &[
                    ("ss", Some(Run)),
                    ("sf", Some(Up)),
                    ("ku", Some(Up)),
                    ("sk", Some(Skip)),
                    ("s.", None),
                    ("f.", Some(Up)),
                    ("k.", None),
                ],
            ),
            (
                R::AllFailed,
                &[
                    ("ff", Some(Run)),
                    ("fu", Some(Run)),
                    ("fs", Some(Skip)),
                    ("fk", Some(Skip)),
                    ("f.", None),
                ],
            ),
            (
                R::AllDone,
                &[("sfk", Some(Run)), ("uk", Some(Run)), ("s.", None)],
            ),
            (
                R::OneSuccess,
                &[
                    ("s.", Some(Run)),
                    ("kk", Some(Skip)),
                    ("kf", Some(Up)),
                    ("f.", None),
                    ("fs", Some(Run)),
                ],
            ),
            (
                R::OneFailed,
                &[
                    ("f.", Some(Run)),
                    ("u.", Some(Run)),
                    ("ss", Some(Skip)),
                    ("sk", Some(Skip)),
                    ("s.", None),
                ],
            ),
            (
                R::OneDone,
                &[
                    ("s.", Some(Run)),
                    ("f.", Some(Run)),
                    ("k.", None),
                    ("kk", Some(Skip)),
                    ("ku", Some(Skip)),
                ],
            ),
            (
                R::NoneFailed,
                &[
                    ("sk", Some(Run)),
                    ("kk", Some(Run)),
                    ("kf", Some(Up)),
                    ("u.", Some(Up)),
                    ("s.", None),
                ],
            ),
            (
                R::NoneFailedMinOneSuccess,
                &[
                    ("sk", Some(Run)),
                    ("kk", Some(Skip)),
                    ("kf", Some(Up)),
                    ("s.", None),
                ],
            ),
            (
                R::NoneSkipped,
                &[
                    ("sf", Some(Run)),
                    ("sk", Some(Skip)),
                    ("uf", Some(Run)),
                    ("s.", None),
                ],
            ),
            (
                R::AllSkipped,
                &[
                    ("kk", Some(Run)),
                    ("ks", Some(Skip)),
                    ("kf", Some(Skip)),
                    ("k.", None),
                ],
            ),
            (R::Always, &[("fuk", Some(Run)), ("f.", None)]),
        ];
        for (rule, cases) in table {
            assert_eq!(
                verdict(rule, ""),
                Some(Run),
                "{rule:?} without upstream tasks"
            );
            for (states, expected) in cases {
                assert_eq!(verdict(rule, states), *expected, "{rule:?} {states}");
            }
        }
    }
}
