//! How messages are made to arrive.

use std::fmt;

use headcast_proto::schedule::COPIES_MAX;

/// How messages are made to arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Each is sent once. What is lost is lost, and subscribers are told not to ask.
    Once,
    /// Each is sent several times, spaced. Subscribers are told not to ask for what is lost all the same.
    #[default]
    Dup,
    /// Each is sent several times, and once more to whoever lost them all and asks.
    DupNak,
    /// Each is sent once, and once more to whoever lost it and asks.
    Nak,
}

impl Mode {
    /// Whether receivers are answered that ask for what they lost.
    pub(super) const fn repairs(self) -> bool {
        matches!(self, Self::DupNak | Self::Nak)
    }

    /// The mode with other copies than this one's.
    const fn counterpart(self) -> Self {
        match self {
            Self::Once => Self::Dup,
            Self::Dup => Self::Once,
            Self::DupNak => Self::Nak,
            Self::Nak => Self::DupNak,
        }
    }

    /// The copies that this mode sends, if that many are among them.
    fn copies(self, wanted: Option<usize>) -> Result<usize, String> {
        match self {
            Self::Once | Self::Nak => match wanted.unwrap_or(1) {
                1 => Ok(1),
                copies => Err(format!(
                    "the mode {self} sends 1 copy, not {copies}; right would be the mode {}",
                    self.counterpart()
                )),
            },
            Self::Dup | Self::DupNak => match wanted.unwrap_or(2) {
                1 => Err(format!(
                    "the mode {self} sends at least 2 copies, not 1; right would be the mode {}",
                    self.counterpart()
                )),
                copies => Ok(copies),
            },
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Once => "once",
            Self::Dup => "dup",
            Self::DupNak => "dup+nak",
            Self::Nak => "nak",
        })
    }
}

/// The mode, and how many copies there are, of what was set; or what is wrong with it.
///
/// Where no mode was set, the copies tell it: one is `once`, more are `dup`.
pub(super) fn resolve(mode: Option<Mode>, copies: Option<usize>, raw: bool) -> Result<(Mode, usize), String> {
    if let Some(copies) = copies
        && !(1..=COPIES_MAX).contains(&copies)
    {
        return Err(format!("{copies} copies are not possible: 1 to {COPIES_MAX} are"));
    }
    match mode {
        Some(mode) if raw && mode.repairs() => Err(format!(
            "the mode {mode} is not possible raw: raw has no header, so nothing can be asked for"
        )),
        Some(mode) => Ok((mode, mode.copies(copies)?)),
        None => {
            let copies = copies.unwrap_or(if raw { 1 } else { 2 });
            Ok((if copies == 1 { Mode::Once } else { Mode::Dup }, copies))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_its_copies() {
        for (mode, copies, expected) in [
            (None, None, (Mode::Dup, 2)),
            (None, Some(1), (Mode::Once, 1)),
            (None, Some(7), (Mode::Dup, 7)),
            (Some(Mode::Once), None, (Mode::Once, 1)),
            (Some(Mode::Dup), Some(3), (Mode::Dup, 3)),
            (Some(Mode::DupNak), None, (Mode::DupNak, 2)),
            (Some(Mode::Nak), Some(1), (Mode::Nak, 1)),
        ] {
            assert_eq!(resolve(mode, copies, false), Ok(expected));
        }
        assert_eq!(resolve(None, None, true), Ok((Mode::Once, 1)));
        assert_eq!(resolve(Some(Mode::Dup), None, true), Ok((Mode::Dup, 2)));
    }

    #[test]
    fn a_contradiction_says_what_would_be_right() {
        for (mode, copies, raw, hint) in [
            (Some(Mode::Once), Some(2), false, "the mode dup"),
            (Some(Mode::Nak), Some(3), false, "the mode dup+nak"),
            (Some(Mode::Dup), Some(1), false, "the mode once"),
            (Some(Mode::DupNak), Some(1), false, "the mode nak"),
            (Some(Mode::Nak), None, true, "raw has no header"),
            (Some(Mode::DupNak), None, true, "raw has no header"),
            (None, Some(8), false, "1 to 7"),
            (Some(Mode::Nak), Some(0), false, "1 to 7"),
        ] {
            let error = resolve(mode, copies, raw).expect_err(hint);
            assert!(error.contains(hint), "{error}");
        }
    }
}
