//! What a run says when it is over: a table for people, JSON and an HDR percentile file for programs.

use std::fmt::Write as _;
use std::io::{self, Write};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::client::Outcome;
use super::per_get;
use crate::figures::{cpu_micros, grouped, micros};
use crate::table::Table;

/// Quantiles that tables show.
const SHOWN: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];
/// Steps per halving of the distance to 100 % in the HDR file, as HdrHistogram's own tools use.
const HDR_TICKS_PER_HALF: u32 = 5;

/// Latencies of one kind of request, microseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// Requests behind the figures.
    pub count: u64,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90 %.
    pub p90_us: f64,
    /// 99 %.
    pub p99_us: f64,
    /// 99.9 %.
    pub p999_us: f64,
    /// 99.99 %.
    pub p9999_us: f64,
    /// Worst.
    pub max_us: f64,
    /// (quantile, microseconds) on a grid that gets finer towards 1, for drawing.
    pub curve: Vec<(f64, f64)>,
}

impl Latency {
    /// Reads a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Latency {
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        let curve = histogram
            .iter_quantiles(HDR_TICKS_PER_HALF)
            .map(|step| (step.quantile_iterated_to(), step.value_iterated_to() as f64 / 1000.0))
            .collect();
        Latency {
            count: histogram.len(),
            mean_us: histogram.mean() / 1000.0,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: histogram.max() as f64 / 1000.0,
            curve,
        }
    }
}

/// A run as other programs read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadReport {
    /// Requests with a reply.
    pub requests: u64,
    /// From the first request to the last reply.
    pub seconds: f64,
    /// Requests per second.
    pub rate: f64,
    /// Keys that every read asked for.
    #[serde(default = "one_key")]
    pub keys_per_get: u32,
    /// Keys that reads found a value of.
    pub hits: u64,
    /// Keys that reads found no value of.
    pub misses: u64,
    /// SETs done.
    pub stored: u64,
    /// Requests with values that nobody wrote, or with replies of the wrong kind.
    pub wrong: u64,
    /// Requests without a reply.
    pub lost: u64,
    /// Refusals for lack of memory, also in `errors`.
    pub out_of_memory: u64,
    /// Refusals and broken connections by text.
    pub errors: std::collections::BTreeMap<String, u64>,
    /// CPU of the server per request, if its process was given.
    pub server_cpu_us_per_request: Option<f64>,
    /// CPU of the server as a share of one core.
    pub server_cpu_share: Option<f64>,
    /// Open loop: 99.9 % of the requests left at most so much too late.
    pub lag_p999_us: Option<f64>,
    /// All requests.
    pub latency: Latency,
}

/// What files of versions that knew no other number leave out.
pub fn one_key() -> u32 {
    1
}

impl LoadReport {
    /// Condenses an outcome.
    pub fn of(outcome: &Outcome) -> LoadReport {
        let tally = &outcome.tally;
        let requests = tally.answered();
        let per_request = |ns: u64| ns as f64 / 1000.0 / requests.max(1) as f64;
        let lag = &tally.lag_ns;
        LoadReport {
            requests,
            seconds: outcome.elapsed_ns as f64 / 1e9,
            rate: requests as f64 / (outcome.elapsed_ns.max(1) as f64 / 1e9),
            keys_per_get: outcome.keys_per_get,
            hits: tally.hits,
            misses: tally.misses,
            stored: tally.stored,
            wrong: tally.wrong,
            lost: tally.lost,
            out_of_memory: tally.out_of_memory,
            errors: tally.errors.clone(),
            server_cpu_us_per_request: outcome.server_cpu_ns.map(per_request),
            server_cpu_share: outcome.server_cpu_ns.map(|ns| ns as f64 / outcome.elapsed_ns.max(1) as f64),
            lag_p999_us: (!lag.is_empty()).then(|| lag.value_at_quantile(0.999) as f64 / 1000.0),
            latency: Latency::of(&tally.all_ns()),
        }
    }
}

/// The report for people.
pub fn describe(outcome: &Outcome) -> String {
    let report = LoadReport::of(outcome);
    let tally = &outcome.tally;
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "  {name:<11} {text}");
    };
    line(
        "requests",
        format!(
            "{} in {:.2} s = {} per second{}",
            grouped(report.requests),
            report.seconds,
            grouped(report.rate.round() as u64),
            per_get(report.keys_per_get),
        ),
    );
    let of_keys = if report.keys_per_get == 1 { "" } else { " of keys" };
    line("reads", format!("{} hits, {} misses{of_keys}", grouped(tally.hits), grouped(tally.misses)));
    line("writes", format!("{} stored, {} refused for memory", grouped(tally.stored), grouped(tally.out_of_memory)));
    if let (Some(us), Some(share)) = (report.server_cpu_us_per_request, report.server_cpu_share) {
        line("server CPU", format!("{} µs per request, {:.1} % of a core", cpu_micros(us), share * 100.0));
    }
    if let Some(lag) = report.lag_p999_us {
        line(
            "load's lag",
            format!("99.9 % of requests left within {} µs of their time", micros((lag * 1000.0) as u64)),
        );
    }
    line("faults", faults(outcome));
    for (text, count) in &tally.errors {
        line("", format!("{} x {text}", grouped(*count)));
    }
    let _ = write!(out, "\n{}", latency_table(outcome));
    out
}

fn faults(outcome: &Outcome) -> String {
    let tally = &outcome.tally;
    if tally.faults() == 0 {
        return "none".into();
    }
    format!("{} wrong, {} refused, {} lost", grouped(tally.wrong), grouped(tally.refused()), grouped(tally.lost))
}

fn latency_table(outcome: &Outcome) -> Table {
    let heads = ["latency, µs"].into_iter().chain(SHOWN.map(|(name, _)| name)).chain(["max", "mean"]);
    let mut table = Table::new(heads);
    let tally = &outcome.tally;
    for (name, histogram) in [("all", &tally.all_ns()), ("get", &tally.get_ns), ("set", &tally.set_ns)] {
        if histogram.is_empty() {
            continue;
        }
        let mut cells = vec![name.to_owned()];
        cells.extend(SHOWN.map(|(_, quantile)| micros(histogram.value_at_quantile(quantile))));
        cells.push(micros(histogram.max()));
        cells.push(micros(histogram.mean() as u64));
        table.row(cells);
    }
    table
}

/// Writes the percentile distribution in microseconds, in the text form of HdrHistogram's tools.
pub fn write_hdr(histogram: &Histogram<u64>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    for step in histogram.iter_quantiles(HDR_TICKS_PER_HALF) {
        let (value, quantile) = (step.value_iterated_to() as f64 / 1000.0, step.quantile_iterated_to());
        let count = histogram.count_between(0, step.value_iterated_to());
        if quantile < 1.0 {
            writeln!(out, "{value:12.3} {quantile:14.12} {count:10} {:14.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out, "{value:12.3} {quantile:14.12} {count:10}")?;
        }
    }
    let (mean, deviation) = (histogram.mean() / 1000.0, histogram.stdev() / 1000.0);
    writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]")?;
    writeln!(out, "#[Max     = {:12.3}, Total count    = {:12}]", histogram.max() as f64 / 1000.0, histogram.len())
}

#[cfg(test)]
mod tests {
    use super::super::answer::Answer;
    use super::super::tally::Tally;
    use super::super::workload::Question;
    use super::*;

    fn outcome() -> Outcome {
        let mut tally = Tally::new();
        for us in 1..=1000_u64 {
            tally.count(Question::Get { key: us }, Answer::Value(b""), us * 1000, |_| true);
        }
        Outcome { tally, elapsed_ns: 2_000_000_000, server_cpu_ns: Some(5_000_000), keys_per_get: 1 }
    }

    #[test]
    fn the_report_divides_by_the_requests() {
        let report = LoadReport::of(&outcome());
        assert_eq!((report.requests, report.rate, report.hits), (1000, 500.0, 1000));
        assert_eq!(report.server_cpu_us_per_request, Some(5.0));
        assert!((report.latency.p50_us - 500.0).abs() < 1.0, "{}", report.latency.p50_us);
        assert!((report.latency.p999_us - 999.0).abs() < 1.0, "{}", report.latency.p999_us);
        assert_eq!(report.lag_p999_us, None);
    }

    #[test]
    fn the_report_survives_json() {
        let report = LoadReport::of(&Outcome { keys_per_get: 100, ..outcome() });
        let text = serde_json::to_string(&report).unwrap();
        let back: LoadReport = serde_json::from_str(&text).unwrap();
        assert_eq!((back.requests, back.latency.curve.len()), (report.requests, report.latency.curve.len()));
        assert_eq!(back.keys_per_get, 100);
        let back: LoadReport = serde_json::from_str(&text.replace("\"keys_per_get\":100,", "")).unwrap();
        assert_eq!(back.keys_per_get, 1, "an older file says nothing of it");
    }

    #[test]
    fn people_read_how_many_keys_a_read_asks_for() {
        let text = describe(&Outcome { keys_per_get: 100, ..outcome() });
        assert!(text.contains("500 per second, 100 keys per get") && text.contains("0 misses of keys"), "{text}");
        assert!(!describe(&outcome()).contains("keys"), "one key is nothing to speak of");
    }

    #[test]
    fn people_read_that_nothing_went_wrong() {
        let text = describe(&outcome());
        assert!(text.contains("1,000 in 2.00 s = 500 per second"), "{text}");
        assert!(text.contains("faults      none"), "{text}");
    }

    #[test]
    fn the_hdr_file_ends_at_the_maximum() {
        let mut out = Vec::new();
        write_hdr(&outcome().tally.all_ns(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.trim_start().starts_with("Value"), "{text}");
        assert!(text.contains("Total count    =         1000"), "{text}");
    }
}
