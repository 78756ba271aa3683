//! Latency monitor: the worst second-by-second times of a few events, for LATENCY LATEST, HISTORY, GRAPH and DOCTOR.
//!
//! Invariants
//! - A series holds at most `SAMPLES_MAX` samples, one per second: the worst of that second.
//! - Nothing is recorded while `latency-monitor-threshold` is 0.

use std::collections::VecDeque;

/// Samples of one event that are kept, as in Redis.
pub(crate) const SAMPLES_MAX: usize = 160;

/// What can be slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A command that may take long.
    Command,
    /// A command that should be quick.
    FastCommand,
    /// A round of removing what has expired.
    ExpireCycle,
    /// A round of making room.
    EvictionCycle,
}

impl Event {
    /// All events.
    pub const ALL: [Event; 4] = [Event::Command, Event::FastCommand, Event::ExpireCycle, Event::EvictionCycle];

    /// Its name, as Redis has it.
    pub fn name(self) -> &'static str {
        match self {
            Event::Command => "command",
            Event::FastCommand => "fast-command",
            Event::ExpireCycle => "expire-cycle",
            Event::EvictionCycle => "eviction-cycle",
        }
    }

    /// The event of that name.
    pub fn parse(name: &[u8]) -> Option<Event> {
        Event::ALL.into_iter().find(|event| event.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// The worst time of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// The second, since 1970.
    pub unix_seconds: u64,
    /// The time in milliseconds.
    pub ms: u64,
}

/// The samples of one event.
#[derive(Debug, Default)]
pub(crate) struct Series {
    samples: VecDeque<Sample>,
    /// The longest since the last reset.
    pub ms_max: u64,
}

impl Series {
    /// Oldest first.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = &Sample> {
        self.samples.iter()
    }

    /// The newest sample.
    pub fn latest(&self) -> Option<&Sample> {
        self.samples.back()
    }

    fn add(&mut self, sample: Sample) {
        self.ms_max = self.ms_max.max(sample.ms);
        if let Some(last) = self.samples.back_mut()
            && last.unix_seconds == sample.unix_seconds
        {
            last.ms = last.ms.max(sample.ms);
            return;
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }
}

/// The series of all events.
#[derive(Debug, Default)]
pub(crate) struct LatencyMonitor {
    series: [Series; Event::ALL.len()],
}

impl LatencyMonitor {
    /// Counts an event that took longer than the threshold.
    #[cold]
    pub fn add(&mut self, event: Event, unix_seconds: u64, ms: u64) {
        self.series[event as usize].add(Sample { unix_seconds, ms });
    }

    /// An event's series.
    pub fn series(&self, event: Event) -> &Series {
        &self.series[event as usize]
    }

    /// Events that have happened since their last reset.
    pub fn seen(&self) -> impl Iterator<Item = (Event, &Series)> + Clone {
        Event::ALL.into_iter().zip(&self.series).filter(|(_, series)| !series.samples.is_empty())
    }

    /// Forgets an event; true if it had happened.
    pub fn reset(&mut self, event: Event) -> bool {
        let series = std::mem::take(&mut self.series[event as usize]);
        !series.samples.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_worst_and_a_series_its_newest() {
        let mut monitor = LatencyMonitor::default();
        for (second, ms) in [(5, 10), (5, 30), (5, 20), (6, 1)] {
            monitor.add(Event::Command, second, ms);
        }
        let samples: Vec<_> = monitor.series(Event::Command).samples().copied().collect();
        assert_eq!(samples, [Sample { unix_seconds: 5, ms: 30 }, Sample { unix_seconds: 6, ms: 1 }]);
        for second in 7..1000 {
            monitor.add(Event::Command, second, 2);
        }
        let series = monitor.series(Event::Command);
        assert_eq!((series.samples().len(), series.ms_max), (SAMPLES_MAX, 30));
        assert_eq!(series.latest(), Some(&Sample { unix_seconds: 999, ms: 2 }));
    }

    #[test]
    fn a_reset_forgets_one_event() {
        let mut monitor = LatencyMonitor::default();
        monitor.add(Event::ExpireCycle, 1, 1);
        assert_eq!(monitor.seen().count(), 1);
        assert!(!monitor.reset(Event::Command));
        assert!(monitor.reset(Event::ExpireCycle));
        assert_eq!(monitor.seen().count(), 0);
    }
}
