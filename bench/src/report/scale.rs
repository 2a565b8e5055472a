//! Axes: where a value stands, and which values have a line and a name.

use crate::load::latencies::human;

/// What an axis is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Numbers from 0 on.
    Plain,
    /// Nanoseconds, logarithmic.
    Times,
    /// Numbers, logarithmic.
    Counts,
    /// `1 / (1 - quantile)`, logarithmic: as far from 90 % to 99 % as from there to 99.9 %.
    Percentiles,
}

/// A value that has a line across the picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    /// Where it stands.
    pub(super) at: f64,
    /// What it is called; nothing when there is no room.
    pub(super) name: String,
}

/// A scale with its ends.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Scale {
    /// Where a value stands, in units of its own.
    pub(super) fn place(self, value: f64) -> f64 {
        match self {
            Self::Plain => value,
            // Less than a nanosecond is told as one.
            Self::Times | Self::Percentiles => value.max(1.0).log10(),
            Self::Counts => value.max(1e-3).log10(),
        }
    }
}

impl Axis {
    /// Over all of these values.
    pub(super) fn over(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for place in values.filter(|value| value.is_finite()).map(|value| scale.place(value)) {
            (low, high) = (low.min(place), high.max(place));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let (low, high) = match scale {
            Scale::Plain => (0.0, if high > 0.0 { high.min(1e300) } else { 1.0 }),
            Scale::Percentiles => (0.0, high.max(1.0)),
            Scale::Times | Scale::Counts => (down(low), up(high)),
        };
        let mut axis = Self { scale, low, high: if high > low { high } else { low + 1.0 } };
        if scale == Scale::Plain {
            axis.high = (axis.high / axis.step() - 1e-9).ceil() * axis.step();
        }
        axis
    }

    /// From one tick of a plain axis to the next.
    fn step(&self) -> f64 {
        10_f64.powf(up((self.high / 6.0).log10()))
    }

    /// From where to where.
    pub(super) fn ends(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        self.scale.place(value)
    }

    pub(super) fn ticks(&self) -> Vec<Tick> {
        match self.scale {
            Scale::Plain => self.plain(),
            Scale::Times => self.decades(|value| human(rounded(value))),
            Scale::Counts => self.decades(number),
            Scale::Percentiles => self.percentiles(),
        }
    }

    fn plain(&self) -> Vec<Tick> {
        let step = self.step();
        let steps = rounded(self.high / step);
        let tick = |at: u64| {
            let at = at as f64 * step;
            Tick { at, name: number(at) }
        };
        (0..=steps).map(tick).collect()
    }

    fn decades(&self, name: impl Fn(f64) -> String) -> Vec<Tick> {
        let span = self.high - self.low;
        let mut ticks = Vec::new();
        let mut decade = self.low.floor();
        while decade <= self.high {
            for times in [1.0, 2.0, 5.0] {
                let at = decade + f64::log10(times);
                if at < self.low - 1e-9 || at > self.high + 1e-9 {
                    continue;
                }
                let named = span < 2.5 || times < 1.5;
                // So many lines would be a grey area.
                if span > 5.0 && times > 1.5 {
                    continue;
                }
                ticks.push(Tick { at, name: if named { name(10_f64.powf(at)) } else { String::new() } });
            }
            decade += 1.0;
        }
        ticks
    }

    fn percentiles(&self) -> Vec<Tick> {
        let half = (2_f64.log10(), "50 %");
        let rest = ["90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"];
        let rest = rest.iter().zip(1_u8..).map(|(name, at)| (f64::from(at), *name));
        let all = [(0.0, "0 %"), half].into_iter().chain(rest);
        let there = all.filter(|(at, _)| *at <= self.high + 1e-9);
        there.map(|(at, name)| Tick { at, name: name.to_owned() }).collect()
    }
}

/// Down to a 1, 2 or 5 of its decade.
fn down(place: f64) -> f64 {
    let decade = place.floor();
    [5.0, 2.0, 1.0]
        .map(|times: f64| decade + times.log10())
        .into_iter()
        .find(|at| *at <= place + 1e-9)
        .unwrap_or(decade)
}

/// Up to one.
fn up(place: f64) -> f64 {
    let decade = place.floor();
    [1.0, 2.0, 5.0, 10.0]
        .map(|times: f64| decade + times.log10())
        .into_iter()
        .find(|at| *at >= place - 1e-9)
        .unwrap_or(decade + 1.0)
}

/// A number as people read it: `0.5`, `870`, `12.3 k`, `4.56 M`.
pub(super) fn number(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size < 999.5 => (value, ""),
        size if size < 999_500.0 => (value / 1e3, " k"),
        size if size < 999_500_000.0 => (value / 1e6, " M"),
        _ => (value / 1e9, " G"),
    };
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

/// A number of nanoseconds that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, which is what is meant"
)]
pub(super) fn rounded(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|tick| tick.name).filter(|name| !name.is_empty()).collect()
    }

    #[test]
    fn axes_end_on_round_values_and_name_them() {
        let times = Axis::over(Scale::Times, [12_000.0, 430_000.0].into_iter());
        assert_eq!(names(&times), ["10.0 us", "20.0 us", "50.0 us", "100 us", "200 us", "500 us"]);
        let counts = Axis::over(Scale::Counts, [1_000.0, 900_000.0].into_iter());
        assert_eq!(names(&counts), ["1 k", "10 k", "100 k", "1 M"]);
        let plain = Axis::over(Scale::Plain, [0.0, 10.0].into_iter());
        assert_eq!(names(&plain), ["0", "2", "4", "6", "8", "10"].map(str::to_owned));
        let percentiles = Axis::over(Scale::Percentiles, [1.0, 5_000.0].into_iter());
        assert_eq!(names(&percentiles), ["0 %", "50 %", "90 %", "99 %", "99.9 %"]);
    }

    #[test]
    fn an_axis_has_ends_whatever_stands_on_it() {
        for scale in [Scale::Plain, Scale::Times, Scale::Counts, Scale::Percentiles] {
            for values in [vec![], vec![0.0], vec![f64::NAN, f64::INFINITY], vec![7.0; 3], vec![1e300, -1.0]]
            {
                let axis = Axis::over(scale, values.iter().copied());
                let ends = axis.ends();
                assert!(ends.start < ends.end && ends.end.is_finite(), "{scale:?} {values:?}: {ends:?}");
                let ticks = axis.ticks();
                assert!((1..1_000).contains(&ticks.len()), "{scale:?} {values:?}: {} ticks", ticks.len());
            }
        }
    }

    #[test]
    fn numbers_are_short() {
        let cases = [(0.0, "0"), (0.5, "0.5"), (999.0, "999"), (12_345.0, "12.3 k"), (4_560_000.0, "4.56 M")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}
