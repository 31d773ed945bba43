//! Charts as SVG: small, without script, readable on a light and on a dark page.
//!
//! Lines and text take the page's own colour: they are drawn in a colour that nothing else has, which then becomes
//! `currentColor`.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::drift::short;
use crate::error::{ModelError, Result};
use crate::onnx::Curve;

/// Stands for the page's text colour.
pub(super) const INK: RGBColor = RGBColor(1, 2, 3);
const INK_TEXT: &str = "#010203";
/// The first series: the reference, the model.
pub(super) const FIRST: RGBColor = RGBColor(59, 130, 196);
/// The second series: today, the other class.
pub(super) const SECOND: RGBColor = RGBColor(230, 126, 34);

pub(super) fn drawn(error: impl std::fmt::Display) -> ModelError {
    ModelError::internal(format!("a chart cannot be drawn: {error}"))
}

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(super) fn chart(
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area)?;
        area.present().map_err(drawn)?;
    }
    Ok(svg.replace(INK_TEXT, "currentColor").replace('\n', ""))
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A number at an axis: `0.2`, not `0.200`.
pub(super) fn tick(value: f64) -> String {
    let text = short(value);
    if !text.contains('.') || text.contains('e') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Two axes with their names, and a light mesh.
pub(super) fn axes<'a, 'b>(
    area: &'a Area<'b>,
    (left, right): (f64, f64),
    (low, high): (f64, f64),
    [horizontal, vertical]: [&str; 2],
    label: &dyn Fn(f64) -> String,
) -> Result<Chart<'a, 'b>> {
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(left..right, low..high)
        .map_err(drawn)?;
    chart
        .configure_mesh()
        .x_labels(5)
        .y_labels(6)
        .axis_style(INK.mix(0.6))
        .bold_line_style(INK.mix(0.12))
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", 12, &INK))
        .x_label_formatter(&|place| label(*place))
        .y_label_formatter(&|value| tick(*value))
        .x_desc(horizontal)
        .y_desc(vertical)
        .draw()
        .map_err(drawn)?;
    Ok(chart)
}

/// A curve in the unit square, with or without the diagonal.
pub(crate) fn unit_curve(
    curve: &Curve,
    horizontal: &str,
    vertical: &str,
    diagonal: bool,
    points: bool,
) -> Result<String> {
    chart((360, 300), |area| {
        let mut chart = axes(area, (0.0, 1.0), (0.0, 1.0), [horizontal, vertical], &tick)?;
        if diagonal {
            let line = LineSeries::new([(0.0, 0.0), (1.0, 1.0)], INK.mix(0.35));
            chart.draw_series(line).map_err(drawn)?;
        }
        let line: Vec<(f64, f64)> = curve
            .x
            .iter()
            .copied()
            .zip(curve.y.iter().copied())
            .collect();
        chart
            .draw_series(LineSeries::new(line.iter().copied(), FIRST.stroke_width(2)))
            .map_err(drawn)?;
        if points {
            let dots = line
                .iter()
                .map(|point| Circle::new(*point, 3, FIRST.filled()));
            chart.draw_series(dots).map_err(drawn)?;
        }
        Ok(())
    })
}

/// Points, and the diagonal on which both are the same.
pub(crate) fn scatter(points: &Curve, horizontal: &str, vertical: &str) -> Result<String> {
    let all = points.x.iter().chain(&points.y).copied();
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |range, value| {
        (range.0.min(value), range.1.max(value))
    });
    let (low, high) = if low < high { (low, high) } else { (0.0, 1.0) };
    chart((360, 300), |area| {
        let mut chart = axes(
            area,
            (low, high),
            (low, high),
            [horizontal, vertical],
            &short,
        )?;
        let line = LineSeries::new([(low, low), (high, high)], INK.mix(0.35));
        chart.draw_series(line).map_err(drawn)?;
        let dots = points.x.iter().zip(&points.y);
        let dots = dots.map(|(x, y)| Circle::new((*x, *y), 2, FIRST.mix(0.5).filled()));
        chart.draw_series(dots).map_err(drawn)?;
        Ok(())
    })
}

/// How many rows of either class got a probability; each class as shares of itself.
pub(crate) fn probabilities(counts: &[Vec<usize>; 2]) -> Result<String> {
    let shares = counts.each_ref().map(|counts| {
        #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
        let total = counts.iter().sum::<usize>().max(1) as f64;
        #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
        counts
            .iter()
            .map(|count| *count as f64 / total)
            .collect::<Vec<f64>>()
    });
    let highest = shares.iter().flatten().copied().fold(1e-9, f64::max);
    #[allow(clippy::cast_precision_loss, reason = "a few bars")]
    let width = 1.0 / counts[0].len().max(counts[1].len()).max(1) as f64;
    chart((360, 300), |area| {
        let names = ["predicted probability", "share of the rows"];
        let mut chart = axes(area, (0.0, 1.0), (0.0, highest), names, &tick)?;
        for (offset, shares, colour) in [(0.08, &shares[0], FIRST), (0.5, &shares[1], SECOND)] {
            let bars = shares.iter().enumerate().map(|(bar, share)| {
                #[allow(clippy::cast_precision_loss, reason = "a few bars")]
                let start = (bar as f64 + offset) * width;
                let corners = [(start, 0.0), (start + 0.42 * width, *share)];
                Rectangle::new(corners, colour.filled())
            });
            chart.draw_series(bars).map_err(drawn)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::{probabilities, tick, unit_curve};
    use crate::onnx::Curve;

    #[test]
    fn numbers_at_an_axis_have_no_zeros_behind() {
        let numbers = [0.2, 0.0, 1.5, 120.0, 1e-5, 1_000.0];
        assert_eq!(
            numbers.map(tick),
            ["0.2", "0", "1.5", "120", "1.00e-5", "1000"]
        );
    }

    #[test]
    fn charts_are_small_and_take_the_pages_colour() {
        let curve = Curve {
            x: vec![0.0, 0.2, 1.0],
            y: vec![0.0, 0.8, 1.0],
        };
        let svg = unit_curve(&curve, "false positives", "true positives", true, true).unwrap();
        assert!(
            svg.starts_with("<svg") && svg.contains("currentColor") && !svg.contains("#010203")
        );
        let svg = probabilities(&[vec![3; 20], vec![5; 20]]).unwrap();
        assert!(svg.len() < 9_000, "{} bytes", svg.len());
    }
}
