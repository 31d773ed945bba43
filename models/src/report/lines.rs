//! Lines over one axis, and what a column's values do to an answer.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::charts::{Area, FIRST, INK, SECOND, axes, chart, drawn};
use crate::error::Result;

/// The third series.
const THIRD: RGBColor = RGBColor(70, 150, 90);
/// The colours of series, in their order.
pub(super) const COLOURS: [RGBColor; 3] = [FIRST, SECOND, THIRD];
/// Their names, for the notes above charts.
pub(super) const COLOUR_NAMES: [&str; 3] = ["Blue", "orange", "green"];
/// The height of the part below that shows how values are distributed.
const BELOW: u32 = 44;

/// Lines with the same horizontal places.
pub(super) struct Lines<'a> {
    pub(super) x: &'a [f64],
    /// At most three.
    pub(super) series: Vec<Vec<f64>>,
    pub(super) horizontal: &'a str,
    pub(super) vertical: &'a str,
    /// The range of the vertical axis, when it does not follow from the lines.
    pub(super) range: Option<(f64, f64)>,
    /// A vertical line.
    pub(super) mark: Option<f64>,
    /// Whether points are drawn too.
    pub(super) points: bool,
    /// What stands below a place.
    pub(super) label: &'a dyn Fn(f64) -> String,
}

impl Lines<'_> {
    /// The drawing; `below` are the shares of the rows in bars of equal width.
    pub(super) fn draw(&self, below: &[f64]) -> Result<String> {
        chart((360, 300), |area| {
            if below.is_empty() {
                return self.curves(area);
            }
            let (upper, lower) = area.split_vertically(300 - BELOW);
            self.curves(&upper)?;
            self.bars(&lower, below)
        })
    }

    fn ends(&self) -> (f64, f64) {
        match (self.x.first(), self.x.last()) {
            (Some(first), Some(last)) if first < last => (*first, *last),
            (Some(first), _) => (first - 0.5, first + 0.5),
            _ => (0.0, 1.0),
        }
    }

    fn curves(&self, area: &Area<'_>) -> Result<()> {
        let ((left, right), (low, high)) =
            (self.ends(), self.range.unwrap_or_else(|| self.height()));
        let names = [self.horizontal, self.vertical];
        let mut chart = axes(area, (left, right), (low, high), names, self.label)?;
        if let Some(mark) = self.mark {
            let line = LineSeries::new([(mark, low), (mark, high)], INK.mix(0.5));
            chart.draw_series(line).map_err(drawn)?;
        }
        for (line, colour) in self.series.iter().zip(COLOURS) {
            let line: Vec<(f64, f64)> = self.x.iter().copied().zip(line.iter().copied()).collect();
            let curve = LineSeries::new(line.iter().copied(), colour.stroke_width(2));
            chart.draw_series(curve).map_err(drawn)?;
            if self.points {
                let dots = line
                    .iter()
                    .map(|point| Circle::new(*point, 3, colour.filled()));
                chart.draw_series(dots).map_err(drawn)?;
            }
        }
        Ok(())
    }

    /// The range of the lines with some air.
    fn height(&self) -> (f64, f64) {
        let all = self.series.iter().flatten().copied();
        let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |range, value| {
            (range.0.min(value), range.1.max(value))
        });
        let air = ((high - low) * 0.08).max(high.abs() * 1e-3).max(1e-9);
        if low.is_finite() && high.is_finite() {
            (low - air, high + air)
        } else {
            (0.0, 1.0)
        }
    }

    /// How the rows are spread, under the same horizontal axis.
    #[allow(clippy::cast_precision_loss, reason = "a few bars")]
    fn bars(&self, area: &Area<'_>, shares: &[f64]) -> Result<()> {
        let (left, right) = self.ends();
        let highest = shares.iter().copied().fold(1e-9, f64::max);
        let mut chart: ChartContext<'_, _, Cartesian2d<RangedCoordf64, RangedCoordf64>> =
            ChartBuilder::on(area)
                .margin_left(8)
                .margin_right(8)
                .margin_bottom(4)
                .y_label_area_size(56)
                .build_cartesian_2d(left..right, 0.0..highest)
                .map_err(drawn)?;
        let width = (right - left) / shares.len() as f64;
        let bars = shares.iter().enumerate().map(|(bar, share)| {
            let start = left + bar as f64 * width;
            Rectangle::new(
                [(start, 0.0), (start + width * 0.92, *share)],
                INK.mix(0.3).filled(),
            )
        });
        chart.draw_series(bars).map(drop).map_err(drawn)
    }
}

/// A level of a text: its name, the share of the rows that have it, and an answer of every series.
pub(super) struct Level {
    pub(super) name: String,
    pub(super) share: String,
    pub(super) answers: Vec<f64>,
}

/// A bar for every level and series, with the answer beside it.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a few bars on a small canvas"
)]
pub(super) fn levels(levels: &[Level]) -> Result<String> {
    const LEFT: i32 = 128;
    const ROOM: f64 = 168.0;
    let series = levels
        .iter()
        .map(|level| level.answers.len())
        .max()
        .unwrap_or(1)
        .clamp(1, 3);
    let tall = 16 * series as i32 + 20;
    let answers = || {
        levels
            .iter()
            .flat_map(|level| level.answers.iter().take(series).copied())
    };
    let highest = answers().fold(1e-9, f64::max);
    let lowest = answers().fold(0.0, f64::min);
    let unit = ROOM / (highest - lowest);
    chart((360, (tall * levels.len() as i32) as u32 + 8), |area| {
        let text = |size: u32| ("sans-serif", size).into_font().color(&INK);
        let zero = LEFT + (-lowest * unit).round() as i32;
        for (place, level) in levels.iter().enumerate() {
            let top = place as i32 * tall + 6;
            let name = Text::new(level.name.clone(), (4, top), text(12));
            area.draw(&name).map_err(drawn)?;
            let share = Text::new(level.share.clone(), (4, top + 14), text(10));
            area.draw(&share).map_err(drawn)?;
            for (bar, (answer, colour)) in level.answers.iter().zip(COLOURS).enumerate() {
                let from = top + bar as i32 * 16;
                let end = zero + (answer * unit).round() as i32;
                let corners = [(zero.min(end), from), (zero.max(end), from + 13)];
                area.draw(&Rectangle::new(corners, colour.filled()))
                    .map_err(drawn)?;
                let number = crate::drift::short(*answer);
                let beside = (zero.max(end) + 5, from + 1);
                area.draw(&Text::new(number, beside, text(11)))
                    .map_err(drawn)?;
            }
        }
        Ok(())
    })
}
