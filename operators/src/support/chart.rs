//! Small charts of bars as SVG, readable on light and on dark pages, without script.

use pipectl_engine::operator::TaskError;
use plotters::prelude::*;

/// Stands for the page's text colour, which nothing else has.
const INK: RGBColor = RGBColor(1, 2, 3);
const INK_TEXT: &str = "#010203";
const BAR: RGBColor = RGBColor(59, 130, 196);

/// How often the values between two bounds occur: bars side by side, with the bounds below.
///
/// # Errors
/// When the chart cannot be drawn, which would be a bug.
pub(crate) fn histogram(counts: &[u32], low: &str, high: &str) -> Result<String, TaskError> {
    const WIDTH: u32 = 260;
    const HEIGHT: u32 = 64;
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let bars = u32::try_from(counts.len()).unwrap_or(1).max(1);
    let pixel = |value: u32| i32::try_from(value).unwrap_or(0);
    drawn((WIDTH, HEIGHT + 20), |area| {
        for (index, count) in (0..bars).zip(counts) {
            // A bar that stands for anything is seen.
            let height = (count * HEIGHT).div_ceil(most);
            let corners = [
                (pixel(index * WIDTH / bars), pixel(HEIGHT - height)),
                (pixel((index + 1) * WIDTH / bars) - 1, pixel(HEIGHT)),
            ];
            area.draw(&Rectangle::new(corners, BAR.filled()))?;
        }
        let below = pixel(HEIGHT + 4);
        area.draw(&Text::new(
            low.to_owned(),
            (0, below),
            ("sans-serif", 11).into_font().color(&INK),
        ))?;
        let length = i32::try_from(high.chars().count()).unwrap_or(0) * 6;
        let right = (pixel(WIDTH) - length).max(0);
        area.draw(&Text::new(
            high.to_owned(),
            (right, below),
            ("sans-serif", 11).into_font().color(&INK),
        ))
    })
}

/// How often each of a few values occurs: bars one below the other, each with its value.
///
/// # Errors
/// As [`histogram`].
pub(crate) fn ranking(values: &[(String, u64)]) -> Result<String, TaskError> {
    const ROW: u32 = 18;
    let most = values
        .iter()
        .map(|(_, count)| *count)
        .max()
        .unwrap_or(1)
        .max(1);
    let height = ROW * u32::try_from(values.len()).unwrap_or(1).max(1);
    drawn((260, height), |area| {
        for ((value, count), top) in values.iter().zip((0..).step_by(ROW as usize)) {
            let length = i32::try_from(count * 110 / most).unwrap_or(110).max(1);
            area.draw(&Rectangle::new(
                [(146, top + 3), (146 + length, top + 15)],
                BAR.filled(),
            ))?;
            area.draw(&Text::new(
                value.clone(),
                (0, top + 2),
                ("sans-serif", 12).into_font().color(&INK),
            ))?;
        }
        Ok(())
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>>;

fn drawn(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String, TaskError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let result = draw(&area).and_then(|()| area.present());
        result.map_err(|error| TaskError::bug(format!("a chart cannot be drawn: {error}")))?;
    }
    Ok(svg.replace(INK_TEXT, "currentColor").replace('\n', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_are_small_and_take_the_pages_colour() {
        let histogram = histogram(&[0, 3, 9, 1], "0", "100").unwrap();
        let ranking = ranking(&[("<b>".to_owned(), 3), ("no".to_owned(), 1)]).unwrap();
        for svg in [&histogram, &ranking] {
            assert!(
                svg.starts_with("<svg") && svg.contains("currentColor") && !svg.contains("<b>"),
                "{svg}"
            );
            assert!(svg.len() < 3_000);
        }
        assert_eq!(
            super::histogram(&[], "", "").unwrap(),
            super::histogram(&[], "", "").unwrap()
        );
    }
}
