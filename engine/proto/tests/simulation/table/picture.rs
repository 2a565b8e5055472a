//! The table as a picture.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Row;
use super::cells::{MEANS, MODES, Mode};

const SIZE: (u32, u32) = (1080, 520);
const PAGE: RGBColor = RGBColor(0xff, 0xff, 0xff);
const INK: RGBColor = RGBColor(0x1c, 0x27, 0x33);
const EDGE: RGBColor = RGBColor(0xc3, 0xce, 0xd9);
/// One for each mode, to be told apart on light and on dark.
const COLOURS: [RGBColor; MODES.len()] = [
    RGBColor(0xd9, 0x3b, 0x3b),
    RGBColor(0x2f, 0x81, 0xd8),
    RGBColor(0x8a, 0x63, 0xd2),
    RGBColor(0x12, 0x94, 0x6f),
    RGBColor(0xcf, 0x7a, 0x11),
];
/// What it is called, and what its colours are in the dark.
const HEAD: &str = "<title>What each mode loses</title><style>text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',Arial,sans-serif}\
@media(prefers-color-scheme:dark){[fill=\"#FFFFFF\"]{fill:#0f1720}[fill=\"#1C2733\"]{fill:#e6edf3}\
[stroke=\"#1C2733\"]{stroke:#e6edf3}[stroke=\"#C3CED9\"]{stroke:#3a4a5a}}</style>";

/// Shares on a logarithmic axis, as their exponents.
const LOSS: std::ops::Range<f64> = -3.2..-1.1;
const LOST: std::ops::Range<f64> = -9.0..-1.0;

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

pub(super) fn draw(rows: &[Row]) -> Result<String, String> {
    let mut svg = String::new();
    paint(&mut svg, rows).map_err(|error| error.to_string())?;
    let begins = svg.find("<svg").and_then(|at| Some(at + svg[at..].find('>')? + 1)).ok_or("no picture")?;
    svg.insert_str(begins, HEAD);
    svg.push('\n');
    Ok(svg)
}

fn paint(svg: &mut String, rows: &[Row]) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&PAGE)?;
    let (body, legend) = root.split_vertically(SIZE.1 - 44);
    let (left, right) = body.split_horizontally(SIZE.0 / 2);
    for (area, bursts) in [(&left, false), (&right, true)] {
        let title = if bursts { "lost in bursts of 8 on average" } else { "lost each for itself" };
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 21, &INK))
            .margin(10)
            .margin_right(20)
            .x_label_area_size(52)
            .y_label_area_size(76)
            .build_cartesian_2d(LOSS, LOST)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(EDGE)
            .axis_style(INK)
            .label_style(label())
            .x_desc("datagrams lost on the network")
            .y_desc("messages lost")
            .y_labels(9)
            .y_label_formatter(&|exponent| format!("1e{exponent:.0}"))
            .x_labels(0)
            .disable_x_mesh()
            .draw()?;
        for mean in MEANS {
            let (foot, top) = ((mean.log10(), LOST.start), (mean.log10(), LOST.end));
            chart.draw_series([PathElement::new(vec![foot, top], EDGE)])?;
            let (x, y) = chart.backend_coord(&foot);
            let style = label().pos(Pos::new(HPos::Center, VPos::Top));
            root.draw(&Text::new(format!("{} %", mean * 100.0), (x, y + 10), style))?;
        }
        for (at, mode) in MODES.iter().enumerate() {
            let of_mode: Vec<&Row> =
                rows.iter().filter(|row| row.cell.bursts == bursts && row.cell.mode == *mode).collect();
            paint_mode(&mut chart, &of_mode, COLOURS[at], at)?;
        }
    }
    paint_legend(&legend)?;
    root.present()?;
    Ok(())
}

/// What was measured with its interval, and the formula as a line.
fn paint_mode(
    chart: &mut Chart<'_, '_>,
    rows: &[&Row],
    colour: RGBColor,
    at: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let formula: Vec<(f64, f64)> =
        rows.iter().filter_map(|row| Some((row.cell.mean.log10(), row.formula?.log10()))).collect();
    chart.draw_series([PathElement::new(formula, colour.stroke_width(1))])?;
    for row in rows {
        // What has no line stands beside the others.
        let aside = if row.formula.is_none() { at as f64 - 2.0 } else { 0.0 };
        let x = row.cell.mean.log10() + aside * 0.03;
        let (low, high) = row.measured.interval_95();
        let (low, high) = (low.log10().max(LOST.start), high.log10());
        chart.draw_series([PathElement::new(vec![(x, low), (x, high)], colour.stroke_width(2))])?;
        if row.measured.lost() > 0.0 {
            chart.draw_series([Circle::new((x, row.measured.lost().log10()), 4, colour.filled())])?;
        } else {
            let down = vec![(-5, -3), (5, -3), (0, 5)];
            chart.draw_series([EmptyElement::at((x, high)) + Polygon::new(down, colour.filled())])?;
        }
    }
    Ok(())
}

fn paint_legend(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut x = 30;
    let style = label().pos(Pos::new(HPos::Left, VPos::Center));
    for (Mode { name, .. }, colour) in MODES.iter().zip(COLOURS) {
        area.draw(&Circle::new((x, 10), 5, colour.filled()))?;
        area.draw(&Text::new(*name, (x + 12, 10), style.clone()))?;
        x += 34 + 8 * name.len() as i32;
    }
    let notes =
        "point: measured, with its 95 % interval; triangle: none lost, so below this; line: by the formula";
    area.draw(&Text::new(notes, (x, 10), style))?;
    Ok(())
}

fn label() -> TextStyle<'static> {
    TextStyle::from(("sans-serif", 17).into_font()).color(&INK)
}
