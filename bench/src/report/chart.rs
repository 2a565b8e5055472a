//! Pictures.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::scale::{Axis, Scale};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Painted = Result<(), Box<dyn std::error::Error>>;

const SIZE: (i32, i32) = (1100, 380);
/// Around what is drawn: names of the axes, and values beside them.
const LEFT: i32 = 84;
const RIGHT: i32 = 26;
const TOP: i32 = 30;
const BOTTOM: i32 = 52;
/// A line of the legend.
const LINE: i32 = 24;
const INK: RGBColor = RGBColor(0x1c, 0x27, 0x33);
const SOFT: RGBColor = RGBColor(0x55, 0x62, 0x6f);
const EDGE: RGBColor = RGBColor(0xc3, 0xce, 0xd9);
/// For eyes that see colours differently: Okabe and Ito, Color Universal Design (2008), with grey for their black. `page.css` has them a little
/// darker or lighter where the page is light or dark.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x7f, 0x7f, 0x7f),
    RGBColor(0xf0, 0xe4, 0x42),
];

/// A picture that stands in a page.
#[derive(Clone, Debug, Default)]
pub(super) struct Svg(String);

/// Lines over two axes.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    pub(super) x: (&'a str, Scale),
    pub(super) y: (&'a str, Scale),
    pub(super) lines: Vec<Line>,
    /// Values of x that have a name.
    pub(super) rules: Vec<(f64, String)>,
}

/// A line, or the marks on it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// Which of the colours and shapes.
    pub(super) style: usize,
    pub(super) points: Vec<(f64, f64)>,
    /// Points that are marked. By their shape a line can be told from others without its colour.
    pub(super) marks: Vec<(f64, f64)>,
}

/// A bar from 0, with how far it goes at least and at most.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) style: usize,
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    /// What is written beside it.
    pub(super) label: String,
}

impl Line {
    /// With a mark on each of its points.
    pub(super) fn marked(name: impl Into<String>, style: usize, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), style, marks: points.clone(), points }
    }
}

impl Svg {
    /// Nothing.
    #[cfg(test)]
    pub(super) fn empty() -> Self {
        Self("<svg ></svg>".into())
    }

    /// With a name for whoever does not see it. The name is escaped.
    pub(super) fn labelled(&self, name: &str) -> String {
        self.0.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{name}\" "), 1)
    }

    fn drawn(height: i32, paint: impl FnOnce(&Area<'_>) -> Painted) -> Self {
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (SIZE.0.unsigned_abs(), height.unsigned_abs()))
                .into_drawing_area();
            // Nothing here fails that writes into a string; a picture less is no reason to have no page.
            if paint(&root).and_then(|()| Ok(root.present()?)).is_err() {
                return Self::default();
            }
        }
        Self(svg)
    }
}

impl Chart<'_> {
    pub(super) fn svg(&self) -> Svg {
        let legend = Legend::of(&self.lines);
        Svg::drawn(SIZE.1 + legend.lines * LINE, |root| {
            self.paint(root)?;
            legend.paint(root, &self.lines)
        })
    }

    fn paint(&self, root: &Area<'_>) -> Painted {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let rules = self.rules.iter().map(|(x, _)| *x);
        let x = Axis::over(self.x.1, points().map(|(x, _)| *x).chain(rules));
        let y = Axis::over(self.y.1, points().map(|(_, y)| *y));
        let frame = Frame::new(&x, &y);
        for tick in y.ticks() {
            let at = frame.y(tick.at);
            root.draw(&PathElement::new(vec![(LEFT, at), (SIZE.0 - RIGHT, at)], EDGE))?;
            root.draw(&Text::new(tick.name, (LEFT - 8, at), style(&SOFT, HPos::Right, VPos::Center)))?;
        }
        for tick in x.ticks() {
            let at = frame.x(tick.at);
            root.draw(&PathElement::new(vec![(at, TOP), (at, SIZE.1 - BOTTOM)], EDGE))?;
            root.draw(&Text::new(
                tick.name,
                (at, SIZE.1 - BOTTOM + 7),
                style(&SOFT, HPos::Center, VPos::Top),
            ))?;
        }
        root.draw(&Text::new(self.y.0.to_owned(), (8, 4), style(&INK, HPos::Left, VPos::Top)))?;
        let below = (SIZE.0 - RIGHT, SIZE.1 - 20);
        root.draw(&Text::new(self.x.0.to_owned(), below, style(&INK, HPos::Right, VPos::Top)))?;
        for ((value, name), line) in self.rules.iter().zip(0..) {
            let at = frame.x(x.place(*value));
            root.draw(&PathElement::new(vec![(at, TOP), (at, SIZE.1 - BOTTOM)], INK.stroke_width(2)))?;
            let (h, aside) = if at > SIZE.0 / 2 { (HPos::Right, -6) } else { (HPos::Left, 6) };
            // Rules may stand close together: each name has a line of its own.
            let place = (at + aside, TOP + 4 + 18 * line);
            root.draw(&Text::new(name.clone(), place, style(&INK, h, VPos::Top)))?;
        }
        for line in &self.lines {
            let place = |(a, b): &(f64, f64)| (frame.x(x.place(*a)), frame.y(y.place(*b)));
            let finite = |(a, b): &&(f64, f64)| a.is_finite() && b.is_finite();
            let path: Vec<_> = line.points.iter().filter(finite).map(place).collect();
            if path.len() > 1 {
                root.draw(&PathElement::new(path, colour(line.style).stroke_width(2)))?;
            }
            for mark in line.marks.iter().filter(finite).map(place) {
                paint_mark(root, mark, line.style)?;
            }
        }
        Ok(())
    }
}

/// Bars below each other, from 0.
pub(super) fn bars(unit: &str, bars: &[Bar]) -> Svg {
    const HIGH: i32 = 30;
    const NAMES: i32 = 190;
    const LABELS: i32 = 190;
    let count = i32::try_from(bars.len()).unwrap_or(i32::MAX / 100);
    let bottom = TOP + count * HIGH;
    Svg::drawn(bottom + BOTTOM, |root| {
        let axis = Axis::over(Scale::Plain, bars.iter().map(|bar| bar.max));
        let wide = f64::from(SIZE.0 - NAMES - LABELS);
        let end = axis.ends().end;
        let x = |value: f64| NAMES + whole(value / end * wide);
        for tick in axis.ticks() {
            let at = x(tick.at);
            root.draw(&PathElement::new(vec![(at, TOP - 6), (at, bottom)], EDGE))?;
            root.draw(&Text::new(tick.name, (at, bottom + 7), style(&SOFT, HPos::Center, VPos::Top)))?;
        }
        let below = (SIZE.0 - LABELS, bottom + 28);
        root.draw(&Text::new(unit.to_owned(), below, style(&INK, HPos::Right, VPos::Top)))?;
        for (bar, at) in bars.iter().zip(0..) {
            let middle = TOP + at * HIGH + HIGH / 2;
            root.draw(&Text::new(
                bar.name.clone(),
                (NAMES - 10, middle),
                style(&INK, HPos::Right, VPos::Center),
            ))?;
            let body = [(NAMES, middle - 8), (x(bar.median), middle + 8)];
            root.draw(&Rectangle::new(body, colour(bar.style).filled()))?;
            let (low, high) = (x(bar.min), x(bar.max));
            for path in [
                [(low, middle), (high, middle)],
                [(low, middle - 6), (low, middle + 6)],
                [(high, middle - 6), (high, middle + 6)],
            ] {
                root.draw(&PathElement::new(path.to_vec(), INK.stroke_width(2)))?;
            }
            let beside = (high.max(x(bar.median)) + 10, middle);
            root.draw(&Text::new(bar.label.clone(), beside, style(&INK, HPos::Left, VPos::Center)))?;
        }
        Ok(())
    })
}

/// From where values stand to where they are drawn.
struct Frame {
    x: std::ops::Range<f64>,
    y: std::ops::Range<f64>,
}

impl Frame {
    fn new(x: &Axis, y: &Axis) -> Self {
        Self { x: x.ends(), y: y.ends() }
    }

    fn x(&self, place: f64) -> i32 {
        let part = (place - self.x.start) / (self.x.end - self.x.start);
        LEFT + whole(part * f64::from(SIZE.0 - LEFT - RIGHT))
    }

    fn y(&self, place: f64) -> i32 {
        let part = (place - self.y.start) / (self.y.end - self.y.start);
        SIZE.1 - BOTTOM - whole(part * f64::from(SIZE.1 - TOP - BOTTOM))
    }
}

/// Where each name stands below a chart.
struct Legend {
    places: Vec<(i32, i32)>,
    lines: i32,
}

impl Legend {
    fn of(lines: &[Line]) -> Self {
        let (mut x, mut line) = (LEFT, 0);
        let mut places = Vec::new();
        for name in lines.iter().map(|line| &line.name) {
            let wide = 52 + 8 * i32::try_from(name.chars().count()).unwrap_or(SIZE.0);
            if x + wide > SIZE.0 && x > LEFT {
                (x, line) = (LEFT, line + 1);
            }
            places.push((x, SIZE.1 + line * LINE + LINE / 2));
            x += wide;
        }
        Self { places, lines: line + i32::from(!lines.is_empty()) }
    }

    fn paint(&self, root: &Area<'_>, lines: &[Line]) -> Painted {
        for (line, (x, y)) in lines.iter().zip(&self.places) {
            let path = vec![(*x, *y), (x + 26, *y)];
            root.draw(&PathElement::new(path, colour(line.style).stroke_width(2)))?;
            if !line.marks.is_empty() {
                paint_mark(root, (x + 13, *y), line.style)?;
            }
            root.draw(&Text::new(line.name.clone(), (x + 34, *y), style(&INK, HPos::Left, VPos::Center)))?;
        }
        Ok(())
    }
}

/// Lines of the same colour have another shape.
fn paint_mark(root: &Area<'_>, (x, y): (i32, i32), at: usize) -> Painted {
    let colour = colour(at).filled();
    match (at + at / COLOURS.len()) % 4 {
        0 => root.draw(&Circle::new((x, y), 4, colour))?,
        1 => root.draw(&Polygon::new(vec![(x - 5, y + 4), (x + 5, y + 4), (x, y - 5)], colour))?,
        2 => root.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], colour))?,
        _ => root.draw(&Polygon::new(vec![(x - 5, y), (x, y - 5), (x + 5, y), (x, y + 5)], colour))?,
    }
    Ok(())
}

fn colour(style: usize) -> RGBColor {
    COLOURS[style % COLOURS.len()]
}

fn style(colour: &'static RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", 16).into_font()).color(colour).pos(Pos::new(h, v))
}

/// A number of points on the picture.
#[expect(clippy::cast_possible_truncation, reason = "saturates; what is beyond the picture is not seen")]
fn whole(value: f64) -> i32 {
    value.round().clamp(-20_000.0, 20_000.0) as i32
}
