//! The options of `headcast records`.

use std::time::{Duration, SystemTime};

use clap::Args;
use headcast_recorder::Database;

pub(super) const EXAMPLES: &str = "\
Examples:
  headcast records
  headcast records --database sqlite:/data/responses.db --since 10m --divergent
  headcast records --publisher 1234 --since 2026-01-31T12:00:00Z --json
  headcast records --csv > responses.csv
  headcast records --database postgres://headcast@db.demo.svc/responses --stats";

#[derive(Debug, Args)]
pub(crate) struct Records {
    /// Where they are stored: sqlite:PATH or postgres://USER@HOST:PORT/NAME
    #[arg(long, value_name = "URL", default_value = "sqlite:responses.db")]
    pub(crate) database: Database,
    /// Only messages of this publisher
    #[arg(long, value_name = "N", help_heading = "Which")]
    pub(crate) publisher: Option<u32>,
    /// Only messages of this session, as sixteen hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = session, help_heading = "Which")]
    pub(crate) session: Option<u64>,
    /// Only messages of streams with this number
    #[arg(long, value_name = "N", help_heading = "Which")]
    pub(crate) stream: Option<u16>,
    /// Only messages whose first response came then or later: 10m for ten minutes ago, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "Which")]
    pub(crate) since: Option<Moment>,
    /// Only messages whose first response came before
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "Which")]
    pub(crate) until: Option<Moment>,
    /// Only messages about which not all said the same, and who said what
    #[arg(long, help_heading = "Which")]
    pub(crate) divergent: bool,
    /// Only so many of them, the earliest
    #[arg(long, value_name = "N", help_heading = "Which")]
    pub(crate) limit: Option<u64>,
    /// Count everything instead
    #[arg(long, conflicts_with_all = ["publisher", "session", "stream", "since", "until", "divergent", "limit", "csv"])]
    pub(crate) stats: bool,
    /// Print JSON, one object a line
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print comma-separated values, with a line of names
    #[arg(long)]
    pub(crate) csv: bool,
}

/// A point in time, or how long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Ago(Duration),
    At(SystemTime),
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(Moment::Ago(ago));
    }
    humantime::parse_rfc3339_weak(text).map(Moment::At).map_err(|_| {
        "right would be a time ago with its unit, such as 30s, 10m or 2days, or a point in time in UTC, such as 2026-01-31T12:00:00Z".into()
    })
}

fn session(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let right = (1..=16).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let wrong =
        || "right would be up to sixteen hexadecimal digits, as records and logs show them".to_owned();
    if right { u64::from_str_radix(digits, 16).map_err(|_| wrong()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_ago_or_at_a_point() {
        assert_eq!(moment("10m"), Ok(Moment::Ago(Duration::from_secs(600))));
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        assert_eq!(moment("1970-01-02T00:00:00Z"), Ok(Moment::At(at)));
        assert_eq!(moment("1970-01-02 00:00:00"), Ok(Moment::At(at)));
        assert!(moment("yesterday").expect_err("no time").contains("2026-01-31T12:00:00Z"));
    }

    #[test]
    fn sessions_are_hexadecimal() {
        assert_eq!(session("0000000000100001"), Ok(0x10_0001));
        assert_eq!(session("ffffffffffffffff"), Ok(u64::MAX));
        for wrong in ["", "0x", "+1", "00000000001000011", "xyz"] {
            assert!(session(wrong).is_err(), "{wrong}");
        }
    }
}
