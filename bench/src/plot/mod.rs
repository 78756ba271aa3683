//! `pinion-bench plot`: latency by percentile as an SVG, from what `compare` and `load` wrote.

mod chart;
mod scale;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chart::{Chart, Line};

use crate::compare::report::{CellReport, CompareReport};
use crate::figures::grouped;
use crate::load::report::LoadReport;

/// Flags of `pinion-bench plot`.
#[derive(clap::Args)]
pub struct Options {
    /// JSON of `compare` or `load`, or an HdrHistogram percentile file; [NAME=]FILE names the line of the latter two
    #[arg(required = true, value_name = "[NAME=]FILE")]
    inputs: Vec<String>,
    /// The picture
    #[arg(long, short, default_value = "latency.svg", value_name = "FILE")]
    out: PathBuf,
    /// Line above the picture
    #[arg(long)]
    title: Option<String>,
}

/// Draws.
pub fn run(options: &Options) -> io::Result<()> {
    let mut charts = Vec::new();
    let mut loose = Vec::new();
    for input in &options.inputs {
        let (name, path) = split_name(input);
        match read(&path, &name).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))? {
            Source::Compare(report) => charts.extend(charts_of(&report)),
            Source::Line(line) => loose.push(line),
        }
    }
    if !loose.is_empty() {
        charts.push(Chart { title: "Latency by percentile".into(), lines: loose });
    }
    charts.retain(|chart| chart.lines.iter().any(|line| !line.points.is_empty()));
    if charts.is_empty() {
        return Err(io::Error::other("there is no latency in these files"));
    }
    fs::write(&options.out, chart::draw(options.title.as_deref(), &charts))?;
    println!("wrote {}", options.out.display());
    Ok(())
}

enum Source {
    Compare(Box<CompareReport>),
    Line(Line),
}

/// "NAME=FILE", or a file that gives the line its stem as a name.
fn split_name(input: &str) -> (String, PathBuf) {
    if let Some((name, path)) = input.split_once('=') {
        return (name.to_owned(), path.into());
    }
    let path = PathBuf::from(input);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    (stem, path)
}

fn read(path: &Path, name: &str) -> io::Result<Source> {
    let text = fs::read_to_string(path)?;
    let line = |points| Source::Line(Line { name: name.to_owned(), points });
    if !text.trim_start().starts_with('{') {
        return parse_hdr(&text).map(line).ok_or_else(|| io::Error::other("neither JSON nor an HdrHistogram file"));
    }
    if let Ok(report) = serde_json::from_str::<CompareReport>(&text) {
        return Ok(Source::Compare(Box::new(report)));
    }
    let report: LoadReport = serde_json::from_str(&text)?;
    Ok(line(report.latency.curve))
}

/// (quantile, microseconds) of each line "value percentile count inverse".
fn parse_hdr(text: &str) -> Option<Vec<(f64, f64)>> {
    let mut lines = text.lines().skip_while(|line| !line.trim_start().starts_with("Value"));
    lines.next()?;
    let mut points = Vec::new();
    for line in lines.filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let mut fields = line.split_whitespace();
        let value = fields.next()?.parse().ok()?;
        points.push((fields.next()?.parse().ok()?, value));
    }
    Some(points)
}

/// One chart per setup, open loops first: they are what latency is about.
fn charts_of(report: &CompareReport) -> Vec<Chart> {
    let same = |a: &CellReport, b: &CellReport| (a.pipeline, a.open_rate) == (b.pipeline, b.open_rate);
    let mut setups: Vec<&[CellReport]> = report.cells.chunk_by(same).collect();
    setups.sort_by_key(|cells| cells[0].open_rate.is_none());
    let chart = |cells: &[CellReport]| {
        let first = &cells[0];
        let title = match first.open_rate {
            Some(rate) => format!("{} requests/s, {} at a time", grouped(rate as u64), first.pipeline),
            None => format!("Saturated, pipeline {}", first.pipeline),
        };
        let line = |cell: &CellReport| Line { name: cell.server.clone(), points: cell.latency.curve.clone() };
        Chart { title, lines: cells.iter().map(line).collect() }
    };
    setups.into_iter().map(chart).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::write_hdr;
    use crate::load::tally::latency_histogram;

    #[test]
    fn an_hdr_file_reads_back() {
        let mut histogram = latency_histogram();
        (1..=1000_u64).for_each(|us| histogram.saturating_record(us * 1000));
        let mut text = Vec::new();
        write_hdr(&histogram, &mut text).unwrap();
        let points = parse_hdr(&String::from_utf8(text).unwrap()).unwrap();
        let (quantile, us) = *points.iter().find(|(quantile, _)| *quantile >= 0.5).unwrap();
        assert!((quantile - 0.5).abs() < 1e-9 && (us - 500.0).abs() < 1.0, "{quantile} {us}");
        assert_eq!(parse_hdr("something else"), None);
    }

    #[test]
    fn a_line_is_named_by_its_file_unless_told() {
        assert_eq!(split_name("out/redis.hdr").0, "redis");
        assert_eq!(split_name("Redis 7=out/x.json"), ("Redis 7".to_owned(), PathBuf::from("out/x.json")));
    }
}
