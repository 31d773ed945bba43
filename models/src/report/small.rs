//! Charts of which a page holds a hundred: SVG of a kilobyte or two, written by hand.
//!
//! Text takes the page's own colour; the two series have the colours that the pages' style calls `--first` and
//! `--second`.

use std::fmt::Write;

use crate::drift::{Picture, short};

/// Letters of a level beside its bars.
const LETTERS: usize = 18;

/// Text in SVG.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn cut(text: &str) -> String {
    if text.chars().nth(LETTERS).is_none() {
        return text.to_owned();
    }
    text.chars().take(LETTERS - 1).chain(['…']).collect()
}

/// A picture that grows.
struct Drawing(String);

impl Drawing {
    fn new(width: u32, height: u32) -> Self {
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\" fill=\"currentColor\">"
        ))
    }

    /// Writing to a string cannot fail.
    fn add(&mut self, part: std::fmt::Arguments<'_>) {
        self.0.write_fmt(part).unwrap_or_default();
    }

    fn text(&mut self, x: u32, y: u32, anchor: &str, text: &str) {
        let text = escaped(text);
        let anchor = match anchor {
            "start" => String::new(),
            other => format!(" text-anchor=\"{other}\""),
        };
        self.add(format_args!(
            "<text x=\"{x}\" y=\"{y}\"{anchor}>{text}</text>"
        ));
    }

    fn end(mut self) -> String {
        self.0.push_str("</svg>");
        self.0
    }
}

/// A share of some points.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places on a small canvas"
)]
fn points(share: f64, of: u32) -> u32 {
    (share.clamp(0.0, 1.0) * f64::from(of)).round() as u32
}

fn highest(picture: &Picture) -> f64 {
    let shares = picture.reference.iter().chain(&picture.current);
    shares.copied().fold(0.0, f64::max).max(1e-9)
}

/// Both distributions of a column: ranges of numbers side by side, levels one below the other.
pub(crate) fn distributions(picture: &Picture) -> String {
    if picture.numeric {
        ranges(picture)
    } else {
        levels(picture)
    }
}

fn ranges(picture: &Picture) -> String {
    const WIDTH: u32 = 320;
    const HEIGHT: u32 = 96;
    let bars = u32::try_from(picture.labels.len()).unwrap_or(1).max(1);
    let (each, most) = (WIDTH / bars, highest(picture));
    let mut drawing = Drawing::new(WIDTH, HEIGHT + 16);
    for (colour, shares, offset) in [
        ("first", &picture.reference, 1),
        ("second", &picture.current, each / 2 + 1),
    ] {
        drawing.add(format_args!("<path fill=\"var(--{colour})\" d=\""));
        for (bar, share) in (0..bars).zip(shares) {
            let height = points(share / most, HEIGHT - 4);
            let (x, wide) = (bar * each + offset, (each / 2).saturating_sub(1).max(1));
            if height > 0 {
                drawing.add(format_args!("M{x} {HEIGHT}v-{height}h{wide}v{height}z"));
            }
        }
        drawing.add(format_args!("\"/>"));
    }
    drawing.add(format_args!(
        "<path stroke=\"currentColor\" opacity=\".5\" d=\"M0 {HEIGHT}h{WIDTH}\"/>"
    ));
    let below = HEIGHT + 12;
    for (label, x, anchor) in [
        (picture.axis.first(), 0, "start"),
        (picture.axis.get(1), WIDTH / 2, "middle"),
        (picture.axis.last(), WIDTH, "end"),
    ] {
        drawing.text(x, below, anchor, label.map_or("", String::as_str));
    }
    drawing.end()
}

fn levels(picture: &Picture) -> String {
    const LEFT: u32 = 158;
    const LONG: u32 = 150;
    const ROW: u32 = 16;
    let rows = u32::try_from(picture.labels.len()).unwrap_or(0);
    let most = highest(picture);
    let mut drawing = Drawing::new(LEFT + LONG + 40, rows * ROW + 2);
    for (row, label) in (0..rows).zip(&picture.labels) {
        drawing.text(LEFT - 6, row * ROW + 12, "end", &cut(label));
    }
    for (colour, shares, offset) in [
        ("first", &picture.reference, 2),
        ("second", &picture.current, 8),
    ] {
        drawing.add(format_args!("<path fill=\"var(--{colour})\" d=\""));
        for (row, share) in (0..rows).zip(shares) {
            let length = points(share / most, LONG).max(u32::from(*share > 0.0));
            let y = row * ROW + offset;
            if length > 0 {
                drawing.add(format_args!("M{LEFT} {y}h{length}v6h-{length}z"));
            }
        }
        drawing.add(format_args!("\"/>"));
    }
    drawing.end()
}

/// A line over time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Line {
    /// Values from the oldest to the newest; a gap where there is none.
    pub(crate) values: Vec<Option<f64>>,
    /// The value that the line is held against.
    pub(crate) level: Option<f64>,
    /// What stands below the first and the last value.
    pub(crate) ends: [String; 2],
    /// Whether the axis begins at zero.
    pub(crate) from_zero: bool,
}

/// The most points that are drawn as dots.
const DOTS: usize = 60;

impl Line {
    /// The lowest and the highest value that are shown.
    fn range(&self) -> (f64, f64) {
        let shown = self.values.iter().copied().flatten().chain(self.level);
        let shown = shown.filter(|value| value.is_finite());
        let (low, high) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        match (self.from_zero, low.is_finite()) {
            (_, false) => (0.0, 1.0),
            (true, _) => (low.min(0.0), if high > 0.0 { high } else { 1.0 }),
            // A line without any movement lies in the middle.
            _ if high - low < 1e-12 => (low - 0.5, high + 0.5),
            _ => (low, high),
        }
    }

    /// The chart.
    pub(crate) fn svg(&self) -> String {
        const LEFT: u32 = 46;
        const WIDTH: u32 = 320;
        const HEIGHT: u32 = 104;
        let (low, high) = self.range();
        let y = |value: f64| HEIGHT - points((value - low) / (high - low), HEIGHT - 10);
        let last = self.values.len().saturating_sub(1).max(1);
        #[allow(clippy::cast_precision_loss, reason = "a number of points")]
        let x = |place: usize| LEFT + points(place as f64 / last as f64, WIDTH - LEFT - 6);
        let mut drawing = Drawing::new(WIDTH, HEIGHT + 18);
        drawing.add(format_args!(
            "<path stroke=\"currentColor\" opacity=\".4\" fill=\"none\" d=\"M{LEFT} 6V{HEIGHT}H{WIDTH}\"/>"
        ));
        if let Some(level) = self.level.filter(|level| level.is_finite()) {
            drawing.add(format_args!(
                "<path stroke=\"var(--second)\" stroke-dasharray=\"5 3\" fill=\"none\" d=\"M{LEFT} {}H{WIDTH}\"/>",
                y(level)
            ));
        }
        let mut path = String::new();
        let mut dots = String::new();
        let mut pen = 'M';
        let few = self.values.len() <= DOTS;
        for (place, value) in self.values.iter().enumerate() {
            let Some(value) = value.filter(|value| value.is_finite()) else {
                pen = 'M';
                continue;
            };
            let (x, y) = (x(place), y(value));
            write!(path, "{pen}{x} {y}").unwrap_or_default();
            // A dot, as a line of no length with round ends.
            if few {
                write!(dots, "M{x} {y}h0").unwrap_or_default();
            }
            pen = 'L';
        }
        drawing.add(format_args!(
            "<path stroke=\"var(--first)\" stroke-width=\"2\" fill=\"none\" d=\"{path}\"/>"
        ));
        if few {
            drawing.add(format_args!(
                "<path stroke=\"var(--first)\" stroke-width=\"6\" stroke-linecap=\"round\" d=\"{dots}\"/>"
            ));
        }
        drawing.text(LEFT - 4, 14, "end", &short(high));
        drawing.text(LEFT - 4, HEIGHT, "end", &short(low));
        drawing.text(LEFT, HEIGHT + 14, "start", &self.ends[0]);
        drawing.text(WIDTH, HEIGHT + 14, "end", &self.ends[1]);
        drawing.end()
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, distributions};
    use crate::drift::Picture;

    #[test]
    fn distributions_are_small() {
        let shares = vec![0.0123456; 20];
        let picture = Picture {
            labels: (0..20).map(|bar| (bar * 1000).to_string()).collect(),
            numeric: true,
            axis: ["0", "10", "20"].map(str::to_owned).to_vec(),
            reference: shares.clone(),
            current: shares,
        };
        let svg = distributions(&picture);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
        assert!(svg.len() < 2_000, "{} bytes", svg.len());
        let empty = distributions(&Picture::default());
        assert!(empty.ends_with("</svg>"));
    }

    #[test]
    fn labels_are_escaped_and_cut() {
        let picture = Picture {
            labels: vec!["<b>&".into(), "ä".repeat(40)],
            numeric: false,
            axis: Vec::new(),
            reference: vec![1.0, 0.0],
            current: vec![0.5, 0.5],
        };
        let svg = distributions(&picture);
        assert!(
            svg.contains("&lt;b&gt;&amp;") && !svg.contains("<b>"),
            "{svg}"
        );
        assert!(svg.contains(&format!("{}…", "ä".repeat(17))));
    }

    #[test]
    fn a_line_has_gaps_and_a_level() {
        let line = Line {
            values: vec![Some(0.5), Some(0.7), None, Some(0.6)],
            level: Some(0.65),
            ends: ["2026-01".into(), "2026-04".into()],
            from_zero: false,
        };
        let svg = line.svg();
        assert!(svg.contains("stroke-dasharray") && svg.contains("2026-04"));
        // Two pieces of line, and three dots.
        assert_eq!(svg.matches("h0").count(), 3);
        let path = svg.split("stroke-width=\"2\"").nth(1).unwrap();
        assert_eq!(path.split("/>").next().unwrap().matches('M').count(), 2);
        let odd = Line {
            values: vec![Some(f64::NAN), Some(3.0)],
            ..Line::default()
        };
        assert!(!odd.svg().contains("NaN"));
        assert!(Line::default().svg().ends_with("</svg>"));
    }
}
