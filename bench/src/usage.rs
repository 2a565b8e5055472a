//! Options that do not go together, and how options are read.

use std::fmt;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

/// What was asked for is not possible: what, and what would be right. A program ends with 2 on it.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A duration with its unit, as `500ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; right would be, for example, 500ms, 10s or 1m"))
}

/// Messages per second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (0.01..=10_000_000.0).contains(rate))
        .ok_or_else(|| format!("'{text}' is no rate; right would be messages per second, 0.01 to 10000000"))
}

/// `SENDER,RECEIVERS`, `auto` or `none`.
pub(crate) fn cores(text: &str) -> Result<Cores, String> {
    match text {
        "auto" => return Ok(Cores::auto(&allowed())),
        "none" => return Ok(Cores(None)),
        _ => {}
    }
    let cores = text.split_once(',').and_then(|(one, other)| Some([one.parse().ok()?, other.parse().ok()?]));
    cores.map(|cores| Cores(Some(cores))).ok_or_else(|| {
        format!("'{text}' is no pair of cores; right would be one for the sender and one for the receivers, as 0,1, or auto or none")
    })
}

/// The cores of the sender and of the receivers, where they are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores(pub Option<[usize; 2]>);

impl Cores {
    /// The first two, or none where there are not two.
    fn auto(allowed: &[usize]) -> Self {
        Self(allowed.first_chunk().copied())
    }

    /// Whether this process may run on both, or on the sender's alone where the receivers are not ours.
    ///
    /// # Errors
    /// Names the core that it may not run on, and those that it may.
    pub(crate) fn check(self, sender_only: bool) -> Result<(), Usage> {
        self.among(&allowed(), sender_only)
    }

    fn among(self, allowed: &[usize], sender_only: bool) -> Result<(), Usage> {
        let Some(pair) = self.0 else { return Ok(()) };
        let wanted = if sender_only { &pair[..1] } else { &pair[..] };
        let Some(core) = wanted.iter().find(|core| !allowed.contains(core)) else { return Ok(()) };
        let allowed = allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(Usage(format!(
            "--cores: this process may not run on core {core}; right would be two of {allowed}; or auto; or none"
        )))
    }
}

/// The cores that this process may run on, ascending. All that there can be where the kernel does not tell.
fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).ok();
    (0..CpuSet::count())
        .filter(|core| set.as_ref().is_none_or(|set| set.is_set(*core).unwrap_or(false)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_option_is_told_with_what_would_be_right() {
        assert_eq!(cores("2,3"), Ok(Cores(Some([2, 3]))));
        assert_eq!(cores("none"), Ok(Cores(None)));
        for text in ["", "1", "1,", "a,b", "1,2,3"] {
            assert!(cores(text).is_err_and(|error| error.contains("right would be")), "{text:?}");
        }
        for text in ["0", "-1", "nan", "inf", "1e9", "many"] {
            assert!(rate(text).is_err_and(|error| error.contains("right would be")), "{text:?}");
        }
        assert_eq!(rate("2.5"), Ok(2.5));
        assert!(duration("10").is_err_and(|error| error.contains("500ms")));
    }

    #[test]
    fn cores_are_those_that_the_process_may_run_on() {
        assert_eq!(Cores::auto(&[4, 5, 6]), Cores(Some([4, 5])));
        assert_eq!((Cores::auto(&[3]), Cores::auto(&[])), (Cores(None), Cores(None)));
        let pair = |sender, receivers| Cores(Some([sender, receivers]));
        assert!(pair(5, 4).among(&[4, 5], false).is_ok());
        let refused = pair(4, 0).among(&[4, 5], false).expect_err("core 0 is not ours");
        assert!(refused.0.contains("core 0") && refused.0.contains("4, 5"), "{refused}");
        assert!(pair(4, 0).among(&[4], true).is_ok(), "the receivers' core is not used");
        assert!(pair(0, 4).among(&[4], true).is_err());
        assert!(Cores(None).among(&[], false).is_ok());
    }

    #[test]
    fn the_usual_cores_can_be_used_wherever_it_runs() {
        let cores = cores("auto").expect("it can be read");
        assert!(cores.check(false).is_ok(), "{cores:?}");
    }
}
