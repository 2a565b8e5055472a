//! Options that do not go together, and how options are read.

use std::fmt;
use std::time::Duration;

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

/// `SENDER,RECEIVERS`, or `none`.
pub(crate) fn cores(text: &str) -> Result<Cores, String> {
    if text == "none" {
        return Ok(Cores(None));
    }
    let cores = text.split_once(',').and_then(|(one, other)| Some([one.parse().ok()?, other.parse().ok()?]));
    cores.map(|cores| Cores(Some(cores))).ok_or_else(|| {
        format!("'{text}' is no pair of cores; right would be one for the sender and one for the receivers, as 0,1, or none")
    })
}

/// The cores of the sender and of the receivers, where they are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores(pub Option<[usize; 2]>);

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
}
