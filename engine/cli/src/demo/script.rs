//! Who comes and goes, and when.
//!
//! Times are fractions of the whole, so that a longer demo tells the same story more slowly. For 20
//! pods and 12 s:
//!
//! ```text
//!          0 s         3 s     4 s     5 s                  9 s        12 s
//!  pods     13 ready -> 17      15      18                   19
//!                   4 join  2 leave  3 join          1 comes back
//! ```

use std::time::Duration;

/// How long a pod that has left the DNS goes on receiving. The publisher drops a peer after two answers
/// without it, after three if the set would halve, and asks about once a second.
pub(super) const LINGER: Duration = Duration::from_millis(3500);
/// How much time a pod that comes back needs to be found and to receive something.
const WORTHWHILE: Duration = Duration::from_millis(1500);

/// What happens to some pods, given by their numbers from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// They are ready for the first time.
    Join(Vec<usize>),
    /// They leave the DNS, and close after [`LINGER`].
    Leave(Vec<usize>),
    /// They are ready again, as new processes with their old addresses.
    Return(Vec<usize>),
}

/// The whole story.
pub(super) struct Script {
    /// How many pods are ready before the first message.
    pub(super) start: usize,
    /// What happens how long after the first message, in this order.
    pub(super) changes: Vec<(Duration, Change)>,
}

impl Script {
    /// For at most `pods` pods, of which there must be two.
    pub(super) fn new(pods: usize, duration: Duration) -> Self {
        let twelfths = |n: u32| duration / 12 * n;
        let start = (pods * 2 / 3).max(1);
        let joining = (pods - start).div_ceil(2);
        let leaving = (start / 6).max(1);
        let leavers: Vec<usize> = (start - leaving..start).collect();
        let mut changes = vec![
            (twelfths(3), Change::Join((start..start + joining).collect())),
            (twelfths(4), Change::Leave(leavers.clone())),
            (twelfths(5), Change::Join((start + joining..pods).collect())),
        ];
        let back = twelfths(9).max(twelfths(4) + LINGER + Duration::from_millis(500));
        if back + WORTHWHILE <= duration {
            changes.push((back, Change::Return(leavers[..1].to_vec())));
        }
        changes.retain(|(_, change)| !change.pods().is_empty());
        Self { start, changes }
    }
}

impl Change {
    pub(super) fn pods(&self) -> &[usize] {
        match self {
            Self::Join(pods) | Self::Leave(pods) | Self::Return(pods) => pods,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(12);

    #[test]
    fn every_pod_takes_part_and_somebody_is_always_ready() {
        for pods in 2..=200 {
            let script = Script::new(pods, DURATION);
            let mut ready: Vec<usize> = (0..script.start).collect();
            let mut seen = ready.clone();
            for (_, change) in &script.changes {
                for &pod in change.pods() {
                    match change {
                        Change::Join(_) => assert!(!seen.contains(&pod), "{pod} of {pods} joins twice"),
                        Change::Leave(_) => assert!(ready.contains(&pod), "{pod} of {pods} was not there"),
                        Change::Return(_) => assert!(seen.contains(&pod) && !ready.contains(&pod)),
                    }
                    match change {
                        Change::Leave(_) => ready.retain(|&other| other != pod),
                        Change::Join(_) | Change::Return(_) => ready.push(pod),
                    }
                    seen.push(pod);
                }
                assert!(!ready.is_empty(), "of {pods} pods none is left");
            }
            assert!((0..pods).all(|pod| seen.contains(&pod)), "not all of {pods} pods take part");
            assert!(script.changes.iter().any(|(_, change)| matches!(change, Change::Return(_))));
        }
    }

    #[test]
    fn changes_are_in_order_whatever_the_duration() {
        for seconds in [0, 1, 4, 7, 12, 3600, u64::MAX] {
            let duration = Duration::from_secs(seconds);
            let script = Script::new(20, duration);
            assert!(script.changes.is_sorted_by_key(|(at, _)| *at), "{seconds} s");
            assert!(script.changes.iter().all(|(at, _)| *at <= duration), "{seconds} s");
        }
    }

    #[test]
    fn a_pod_comes_back_only_when_it_has_been_closed_and_something_is_left_to_receive() {
        for seconds in 1..60 {
            let duration = Duration::from_secs(seconds);
            for (at, change) in Script::new(20, duration).changes {
                if let Change::Return(_) = change {
                    assert!(at > duration / 12 * 4 + LINGER && at + WORTHWHILE <= duration, "{seconds} s");
                }
            }
        }
    }
}
