//! The picture, written by hand: percentiles from left to right (each decade of rarity equally wide), latency upwards.

use std::fmt::Write as _;

use super::scale::{Scale, round_down, round_up, spread, ticks};

const WIDTH: f64 = 900.0;
const CHART_HEIGHT: f64 = 420.0;
const TITLE_HEIGHT: f64 = 44.0;
/// Room for axis labels on the left, line names on the right, the chart's title above and percentiles below.
const LEFT: f64 = 78.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 58.0;
const LABEL_GAP: f64 = 18.0;
const FONT: &str = "Inter, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif";
const INK: &str = "#1f2933";
const FAINT_INK: &str = "#616e7c";
const GRID: &str = "#e4e7eb";
/// Told apart by people with any kind of colour vision (Okabe and Ito); the first is for the first server.
const COLOURS: [&str; 7] = ["#d55e00", "#52606d", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
/// Percentiles that are marked, as far as the requests reach.
const MARKS: [(&str, f64); 7] = [
    ("50 %", 0.5),
    ("90 %", 0.9),
    ("99 %", 0.99),
    ("99.9 %", 0.999),
    ("99.99 %", 0.9999),
    ("99.999 %", 0.99999),
    ("99.9999 %", 0.999999),
];

/// One server's latencies.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// (quantile, microseconds), ascending.
    pub points: Vec<(f64, f64)>,
}

/// Lines over common axes.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What was measured.
    pub title: String,
    /// At least one with points.
    pub lines: Vec<Line>,
}

/// All charts below one another.
pub fn draw(title: Option<&str>, charts: &[Chart]) -> String {
    let head = if title.is_some() { TITLE_HEIGHT } else { 0.0 };
    let height = head + CHART_HEIGHT * charts.len() as f64;
    let mut svg = String::new();
    let size = format!(r#"width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}""#);
    let font = format!(r#"font-family="{FONT}" font-size="13""#);
    let _ = writeln!(svg, r#"<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>"#);
    let _ = writeln!(svg, r##"<rect width="100%" height="100%" fill="#ffffff"/>"##);
    if let Some(title) = title {
        let title = escape(title);
        let _ =
            writeln!(svg, r#"<text x="{LEFT}" y="34" font-size="20" font-weight="600" fill="{INK}">{title}</text>"#);
    }
    for (number, chart) in charts.iter().enumerate() {
        draw_chart(&mut svg, chart, head + CHART_HEIGHT * number as f64);
    }
    svg.push_str("</svg>\n");
    svg
}

/// "1 in so many requests is slower": the distance to 100 %, which is what the horizontal axis shows.
fn rarity(quantile: f64) -> f64 {
    1.0 / (1.0 - quantile)
}

fn draw_chart(svg: &mut String, chart: &Chart, top: f64) {
    let lines: Vec<Vec<(f64, f64)>> = chart.lines.iter().map(|line| visible(&line.points)).collect();
    let all = || lines.iter().flatten();
    let slowest = all().map(|(_, us)| *us).fold(1.0, f64::max);
    let fastest = all().map(|(_, us)| *us).fold(slowest, f64::min);
    let rarest = all().map(|(quantile, _)| rarity(*quantile)).fold(100.0, f64::max);
    // A flat line still needs an axis of some height.
    let (low, high) = (round_down(fastest), round_up(slowest).max(round_down(fastest) * 10.0));
    let x = Scale::new(rarity(MARKS[0].1), rarest, LEFT, WIDTH - RIGHT);
    let y = Scale::new(low, high, top + CHART_HEIGHT - BOTTOM, top + TOP);
    let title = escape(&chart.title);
    let _ = writeln!(
        svg,
        r#"<text x="{LEFT}" y="{:.1}" font-size="15" font-weight="600" fill="{INK}">{title}</text>"#,
        top + 30.0
    );
    draw_axes(svg, x, y, (low, high), top);
    // The first line is drawn last, on top of the others.
    for (number, points) in lines.iter().enumerate().rev() {
        draw_line(svg, points, x, y, number);
    }
    let ends: Vec<f64> =
        lines.iter().map(|points| points.last().map_or(low, |(_, us)| *us)).map(|us| y.place(us)).collect();
    let places = spread(&ends, LABEL_GAP, top + TOP, top + CHART_HEIGHT - BOTTOM);
    for (number, (line, place)) in chart.lines.iter().zip(places).enumerate() {
        let (colour, weight) = (COLOURS[number % COLOURS.len()], if number == 0 { 600 } else { 400 });
        let (x, y, name) = (WIDTH - RIGHT + 10.0, place + 4.5, escape(&line.name));
        let _ = writeln!(
            svg,
            r#"<text x="{x}" y="{y:.1}" font-size="14" font-weight="{weight}" fill="{colour}">{name}</text>"#
        );
    }
}

/// From the median on, without the maximum, which has no place on an axis that never reaches 100 %.
fn visible(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.iter().copied().filter(|&(quantile, us)| (MARKS[0].1..1.0).contains(&quantile) && us > 0.0).collect()
}

fn draw_axes(svg: &mut String, x: Scale, y: Scale, (low, high): (f64, f64), top: f64) {
    let (right, bottom) = (WIDTH - RIGHT, top + CHART_HEIGHT - BOTTOM);
    for tick in ticks(low, high) {
        let place = y.place(tick);
        let _ = writeln!(svg, r#"<path d="M{LEFT} {place:.1}H{right}" stroke="{GRID}"/>"#);
        let (label_x, label_y, text) = (LEFT - 10.0, place + 4.5, duration(tick));
        let _ =
            writeln!(svg, r#"<text x="{label_x}" y="{label_y:.1}" text-anchor="end" fill="{FAINT_INK}">{text}</text>"#);
    }
    for (name, quantile) in MARKS.into_iter().filter(|(_, quantile)| x.reaches(rarity(*quantile))) {
        let place = x.place(rarity(quantile));
        let _ = writeln!(svg, r#"<path d="M{place:.1} {:.1}V{bottom}" stroke="{GRID}"/>"#, top + TOP);
        let label_y = bottom + 22.0;
        let _ = writeln!(
            svg,
            r#"<text x="{place:.1}" y="{label_y}" text-anchor="middle" fill="{FAINT_INK}">{name}</text>"#
        );
    }
    let _ = writeln!(svg, r#"<path d="M{LEFT} {bottom}H{right}" stroke="{FAINT_INK}"/>"#);
    let place = format!(r#"x="{}" y="{}""#, f64::midpoint(LEFT, right), bottom + 44.0);
    let look = format!(r#"font-size="12" text-anchor="middle" fill="{FAINT_INK}""#);
    let _ = writeln!(svg, "<text {place} {look}>percentile of requests</text>");
}

fn draw_line(svg: &mut String, points: &[(f64, f64)], x: Scale, y: Scale, number: usize) {
    let mut path = String::new();
    for (at, (quantile, us)) in points.iter().enumerate() {
        let command = if at == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{command}{:.1} {:.1}", x.place(rarity(*quantile)), y.place(*us));
    }
    let (colour, width) = (COLOURS[number % COLOURS.len()], if number == 0 { 3.0 } else { 2.0 });
    let look = format!(r#"stroke="{colour}" stroke-width="{width}" stroke-linejoin="round" stroke-linecap="round""#);
    let _ = writeln!(svg, r#"<path d="{path}" fill="none" {look}/>"#);
}

fn duration(us: f64) -> String {
    if us < 999.5 {
        format!("{us} µs")
    } else if us < 999_500.0 {
        format!("{} ms", us / 1e3)
    } else {
        format!("{} s", us / 1e6)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, us: f64) -> Line {
        Line {
            name: name.into(),
            points: vec![(0.0, us), (0.5, us), (0.99, 2.0 * us), (0.9999, 8.0 * us), (1.0, 9.0 * us)],
        }
    }

    #[test]
    fn every_line_is_drawn_and_named() {
        let chart = Chart { title: "a < b".into(), lines: vec![line("pinion", 50.0), line("redis & co", 80.0)] };
        let svg = draw(Some("Title"), &[chart.clone(), chart]);
        assert_eq!(svg.matches("stroke-width").count(), 4);
        for part in ["Title", "a &lt; b", "redis &amp; co", "99.99 %", "100 µs"] {
            assert!(svg.contains(part), "{part}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_line_without_points_does_no_harm() {
        let empty = Line { name: "empty".into(), points: vec![] };
        let svg = draw(None, &[Chart { title: String::new(), lines: vec![empty, line("x", 1.0)] }]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        for (us, text) in [(50.0, "50 µs"), (1000.0, "1 ms"), (2500.0, "2.5 ms"), (2_000_000.0, "2 s")] {
            assert_eq!(duration(us), text);
        }
    }
}
