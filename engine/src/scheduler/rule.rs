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

    /// For each rule, upstream states and what follows: `r` runs, `s` skipped, `u` upstream_failed, `.` open.
    /// The upstream states: s success, f failed, k skipped, u upstream_failed, . not done yet.
    const TABLE: [(TriggerRule, &str); 11] = [
        (
            TriggerRule::AllSuccess,
            "ss=r sf=u ku=u sk=s s.=. f.=u k.=.",
        ),
        (TriggerRule::AllFailed, "ff=r fu=r fs=s fk=s f.=."),
        (TriggerRule::AllDone, "sfk=r uk=r s.=."),
        (TriggerRule::OneSuccess, "s.=r kk=s kf=u f.=. fs=r"),
        (TriggerRule::OneFailed, "f.=r u.=r ss=s sk=s s.=."),
        (TriggerRule::OneDone, "s.=r f.=r k.=. kk=s ku=s"),
        (TriggerRule::NoneFailed, "sk=r kk=r kf=u u.=u s.=."),
        (TriggerRule::NoneFailedMinOneSuccess, "sk=r kk=s kf=u s.=."),
        (TriggerRule::NoneSkipped, "sf=r sk=s uf=r s.=."),
        (TriggerRule::AllSkipped, "kk=r ks=s kf=s k.=."),
        (TriggerRule::Always, "fuk=r f.=."),
    ];

    #[test]
    fn every_rule_by_table() {
        for (rule, cases) in TABLE {
            assert_eq!(
                verdict(rule, ""),
                Some(Verdict::Run),
                "{rule:?} without upstream tasks"
            );
            for case in cases.split(' ') {
                let (states, expected) = case.split_once('=').unwrap();
                let expected = match expected {
                    "r" => Some(Verdict::Run),
                    "s" => Some(Verdict::Skip),
                    "u" => Some(Verdict::UpstreamFailed),
                    _ => None,
                };
                assert_eq!(verdict(rule, states), expected, "{rule:?} {states}");
            }
        }
    }
}
