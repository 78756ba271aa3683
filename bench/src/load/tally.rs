//! What came back: counts, latencies, and the texts of errors.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::answer::Answer;
use super::workload::{Found, Question};
use crate::clock::Nanos;

/// Latencies above this are recorded as this; a minute without a reply is an outage, not a tail.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Distinct error texts kept apart; the rest is counted together.
const ERROR_TEXTS_MAX: usize = 32;
const OTHER_ERRORS: &str = "(other errors)";

/// A latency histogram in nanoseconds with three significant digits.
pub fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("1 <= low, 2 * low <= high, 3 digits are in range")
}

/// The outcome of many requests.
#[derive(Clone)]
pub struct Tally {
    /// Keys that reads were answered with a value of.
    pub hits: u64,
    /// Keys that reads asked for and the server does not hold.
    pub misses: u64,
    /// SETs that were done.
    pub stored: u64,
    /// Requests with a value that no write made, a reply of the wrong kind, or one outside the protocol.
    pub wrong: u64,
    /// Refusals for lack of memory; also among `errors`.
    pub out_of_memory: u64,
    /// Requests whose reply never came.
    pub lost: u64,
    /// Refusals by text.
    pub errors: BTreeMap<String, u64>,
    /// Latency of answered GETs.
    pub get_ns: Histogram<u64>,
    /// Latency of answered SETs.
    pub set_ns: Histogram<u64>,
    /// How late requests left in an open loop; time spent here is the load's own fault.
    pub lag_ns: Histogram<u64>,
}

impl Tally {
    /// Nothing yet.
    pub fn new() -> Tally {
        Tally {
            hits: 0,
            misses: 0,
            stored: 0,
            wrong: 0,
            out_of_memory: 0,
            lost: 0,
            errors: BTreeMap::new(),
            get_ns: latency_histogram(),
            set_ns: latency_histogram(),
            lag_ns: latency_histogram(),
        }
    }

    /// Requests with a reply, whatever it said.
    pub fn answered(&self) -> u64 {
        self.get_ns.len() + self.set_ns.len()
    }

    /// Refusals of all texts.
    pub fn refused(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Everything that must be zero in a correct run.
    pub fn faults(&self) -> u64 {
        self.refused() + self.wrong + self.lost
    }

    /// All latencies in one histogram.
    pub fn all_ns(&self) -> Histogram<u64> {
        let mut all = self.get_ns.clone();
        all.add(&self.set_ns).expect("both have the same bounds");
        all
    }

    /// Counts one reply; `is_right` judges a value, and is asked for values only. Items are for
    /// [`Tally::count_many`].
    pub fn count(
        &mut self,
        question: Question,
        answer: Answer<'_>,
        latency: Nanos,
        is_right: impl FnOnce(&[u8]) -> bool,
    ) {
        match question {
            Question::Set { .. } => self.set_ns.saturating_record(latency),
            Question::Get { .. } | Question::GetMany { .. } => self.get_ns.saturating_record(latency),
        }
        match (answer, question) {
            (Answer::Stored, Question::Set { .. }) => self.stored += 1,
            (Answer::Value(value), Question::Get { .. }) => {
                self.hits += 1;
                self.wrong += u64::from(!is_right(value));
            }
            (Answer::Miss, Question::Get { .. }) => self.misses += 1,
            (Answer::Refused(text), _) => self.refuse(text),
            (Answer::Stored | Answer::Value(_) | Answer::Miss | Answer::Items(_), _) => self.wrong += 1,
        }
    }

    /// Counts the reply to one read of many keys: one request, however many keys it found.
    pub fn count_many(&mut self, found: Found, latency: Nanos) {
        self.get_ns.saturating_record(latency);
        self.hits += found.hits;
        self.misses += found.misses;
        self.wrong += u64::from(!found.is_right);
    }

    /// Adds what another tally counted.
    pub fn absorb(&mut self, other: &Tally) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.stored += other.stored;
        self.wrong += other.wrong;
        self.out_of_memory += other.out_of_memory;
        self.lost += other.lost;
        for (text, count) in &other.errors {
            *self.errors.entry(text.clone()).or_default() += count;
        }
        for (mine, theirs) in
            [(&mut self.get_ns, &other.get_ns), (&mut self.set_ns, &other.set_ns), (&mut self.lag_ns, &other.lag_ns)]
        {
            mine.add(theirs).expect("both have the same bounds");
        }
    }

    #[cold]
    fn refuse(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        if text.starts_with("OOM") || text.starts_with("SERVER_ERROR out of memory") {
            self.out_of_memory += 1;
        }
        let is_kept = self.errors.contains_key(text.as_ref()) || self.errors.len() < ERROR_TEXTS_MAX;
        let text = if is_kept { text.as_ref() } else { OTHER_ERRORS };
        *self.errors.entry(text.to_owned()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Items;
    use super::*;

    const GET: Question = Question::Get { key: 0 };
    const SET: Question = Question::Set { key: 0 };
    const MANY: Question = Question::GetMany { count: 2 };

    fn check(question: Question, answer: Answer<'_>) -> Tally {
        let mut tally = Tally::new();
        tally.count(question, answer, 1000, |value| value == b"right");
        assert_eq!(tally.answered(), 1);
        tally
    }

    #[test]
    fn right_replies_are_no_faults() {
        assert_eq!(check(GET, Answer::Value(b"right")).hits, 1);
        assert_eq!(check(GET, Answer::Miss).misses, 1);
        assert_eq!(check(SET, Answer::Stored).stored, 1);
        for (question, answer) in [(GET, Answer::Value(b"right")), (GET, Answer::Miss), (SET, Answer::Stored)] {
            assert_eq!(check(question, answer).faults(), 0);
        }
    }

    #[test]
    fn replies_of_the_wrong_kind_and_wrong_values_are_faults() {
        for (question, answer) in
            [(GET, Answer::Value(b"wrong")), (GET, Answer::Stored), (SET, Answer::Value(b"right")), (SET, Answer::Miss)]
        {
            assert_eq!(check(question, answer).wrong, 1);
        }
        for answer in [Answer::Value(b"right"), Answer::Miss, Answer::Stored] {
            assert_eq!(check(MANY, answer).wrong, 1);
        }
        assert_eq!(check(GET, Answer::Items(Items::new(b"", &[]))).wrong, 1);
    }

    #[test]
    fn a_read_of_many_keys_is_one_request() {
        let mut tally = Tally::new();
        tally.count_many(Found { hits: 7, misses: 3, is_right: true }, 1000);
        assert_eq!((tally.answered(), tally.hits, tally.misses, tally.faults()), (1, 7, 3, 0));
        tally.count_many(Found { hits: 10, misses: 0, is_right: false }, 1000);
        assert_eq!((tally.answered(), tally.hits, tally.misses, tally.faults()), (2, 17, 3, 1));
    }

    #[test]
    fn refusals_are_counted_by_text() {
        let mut tally = check(SET, Answer::Refused(b"OOM command not allowed"));
        tally.absorb(&check(SET, Answer::Refused(b"SERVER_ERROR out of memory storing object")));
        tally.absorb(&check(GET, Answer::Refused(b"ERR unknown command")));
        assert_eq!((tally.out_of_memory, tally.refused(), tally.errors.len()), (2, 3, 3));
    }

    #[test]
    fn many_different_refusals_are_bounded() {
        let mut tally = Tally::new();
        for number in 0..1000 {
            tally.count(SET, Answer::Refused(format!("ERR {number}").as_bytes()), 1, |_| true);
        }
        assert_eq!((tally.errors.len(), tally.refused()), (ERROR_TEXTS_MAX + 1, 1000));
    }
}
