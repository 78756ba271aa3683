//! Log: one store's segments, in chains.
//!
//! ```text
//!   chain = {small, main} x {volatile, persistent}
//!
//!   oldest                                            youngest
//!   [sealed] -> [sealed] -> ... -> [sealed] -> [open]          inserts append here
//!                 [survivor]                                   reclaim copies here; keeps its first victim's age
//! ```
//!
//! Invariants
//! - A record is live exactly if its kind is not dead and its keyspace was not cleared after its segment opened; the
//!   index has one entry for each live record, and `live_bytes` is the sum of the spans that are not dead.
//! - A sealed segment has live bytes; when they reach zero its memory goes back.
//! - Ages order the segments of a chain; they come from one counter per core, so they compare across stores too.
//!
//! Absent on purpose: the decision what to evict or copy. `reclaim` walks segments, this only keeps them.

mod chain;
mod segment;

pub(crate) use chain::{Chain, ChainId, Lifetime, Queue};
pub(crate) use segment::{Location, Segment, SegmentNumber, State, Written};

use item::{Header, Record, Span};

use crate::index::SEGMENT_COUNT_MAX;
use crate::memory::{Memory, Purpose};
use crate::raw::SegmentMemory;

/// Where an append goes.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    /// The young end of the chain.
    Head,
    /// Among the survivors of reclaim; a new survivor segment gets this age.
    Survivors {
        /// Age of the segment that is being reclaimed.
        age: u64,
        /// When its records were written.
        written: Written,
    },
}

/// The segments of one store.
pub(crate) struct Log {
    /// By segment number. Apart from the descriptors: a lookup needs only this.
    memories: Vec<Option<SegmentMemory>>,
    descriptors: Vec<Segment>,
    vacant: Vec<SegmentNumber>,
    chains: [Chain; ChainId::COUNT],
}

impl Log {
    pub(crate) fn new() -> Log {
        Log { memories: Vec::new(), descriptors: Vec::new(), vacant: Vec::new(), chains: Default::default() }
    }

    /// The record at `location`, which the index named.
    #[inline]
    pub(crate) fn record(&self, location: Location) -> Option<Record<'_>> {
        let memory = self.memories.get(location.segment.index())?.as_ref()?;
        Record::parse(memory.get(location.offset()..)?).ok()
    }

    /// The bytes from the start of the record at `location` to the end of its segment.
    #[inline]
    pub(crate) fn tail_mut(&mut self, location: Location) -> Option<&mut [u8]> {
        let memory = self.memories.get_mut(location.segment.index())?.as_mut()?;
        memory.get_mut(location.offset()..)
    }

    /// Starts to load the record's first two cache lines: header and key, and the value if it is short.
    #[inline]
    pub(crate) fn prefetch(&self, location: Location) {
        if let Some(Some(memory)) = self.memories.get(location.segment.index()) {
            crate::raw::prefetch(memory, location.offset());
            crate::raw::prefetch(memory, location.offset() + 64);
        }
    }

    /// The 32 hash bits of the record at `location`.
    pub(crate) fn hash_high(&self, location: Location) -> u32 {
        self.record(location).expect("the index names records").hash_high()
    }

    #[inline]
    pub(crate) fn segment(&self, number: SegmentNumber) -> &Segment {
        &self.descriptors[number.index()]
    }

    /// The chain that the record at `location` is in.
    #[inline]
    pub(crate) fn chain_of(&self, location: Location) -> ChainId {
        self.segment(location.segment).chain
    }

    /// Whether `number` is still the segment that had this serial.
    pub(crate) fn is_current(&self, number: SegmentNumber, serial: u64) -> bool {
        self.memories.get(number.index()).is_some_and(Option::is_some) && self.segment(number).serial == serial
    }

    /// Segments in use, as numbers.
    #[cfg(test)]
    pub(crate) fn numbers(&self) -> impl Iterator<Item = SegmentNumber> + '_ {
        let used = self.memories.iter().enumerate().filter(|(_, memory)| memory.is_some());
        used.map(|(index, _)| SegmentNumber(index as u32))
    }

    /// One more than the highest segment number in use.
    pub(crate) fn number_bound(&self) -> usize {
        self.memories.len()
    }

    /// The segment with this number, if it is in use.
    pub(crate) fn segment_if_used(&self, index: usize) -> Option<(SegmentNumber, &Segment)> {
        self.memories.get(index)?.as_ref()?;
        Some((SegmentNumber(index as u32), &self.descriptors[index]))
    }

    /// The oldest segment of a chain.
    pub(crate) fn oldest(&self, chain: ChainId) -> Option<(u64, SegmentNumber)> {
        self.chains[chain.index()].oldest()
    }

    /// The open segment of a chain, if what lives there fits into the survivor segment that is open beside it.
    pub(crate) fn mergeable(&self, chain: ChainId, segment_bytes: usize) -> Option<SegmentNumber> {
        let [Some(open), Some(survivor)] = self.chains[chain.index()].currents() else { return None };
        let needed = self.segment(survivor).write_offset + self.segment(open).live_bytes;
        (needed as usize <= segment_bytes).then_some(open)
    }

    /// Makes room for a record at the young end of a stream. Its bytes must be written at once. `None`: no segment.
    #[inline]
    pub(crate) fn append(
        &mut self,
        memory: &mut Memory,
        chain: ChainId,
        stream: Stream,
        span: Span,
        purpose: Purpose,
    ) -> Option<Location> {
        let current = self.chains[chain.index()].current(stream);
        let number = match current {
            Some(number) if self.segment(number).has_room(span, memory.segment_bytes()) => number,
            Some(_) | None => self.open(memory, chain, stream, span, purpose)?,
        };
        let segment = &mut self.descriptors[number.index()];
        let location = Location { segment: number, unit: segment.write_offset / 8 };
        segment.write_offset += span.bytes() as u32;
        segment.live_bytes += span.bytes() as u32;
        match stream {
            Stream::Head => segment.note_write(memory.now_s()),
            Stream::Survivors { written, .. } => segment.note_survivor(written),
        }
        memory.add_live(chain, span.bytes());
        Some(location)
    }

    /// Marks the record at `location` dead, and gives its segment back if it was the last one there.
    #[inline]
    pub(crate) fn kill(&mut self, memory: &mut Memory, location: Location) {
        let tail = self.tail_mut(location).expect("the index names records");
        let span = Header::read(tail).and_then(Header::span).expect("records have a span").bytes();
        Record::kill(tail);
        let segment = &mut self.descriptors[location.segment.index()];
        let chain = segment.chain;
        segment.live_bytes -= span as u32;
        let is_done = segment.live_bytes == 0 && segment.state == State::Sealed;
        memory.remove_live(chain, span);
        if is_done {
            self.release(memory, location.segment);
        }
    }

    /// Closes a segment for appends. Returns whether it still exists: one without live bytes is given back.
    pub(crate) fn seal(&mut self, memory: &mut Memory, number: SegmentNumber) -> bool {
        let segment = &mut self.descriptors[number.index()];
        self.chains[segment.chain.index()].forget_current(number);
        segment.state = State::Sealed;
        let is_live = segment.live_bytes != 0;
        if !is_live {
            self.release(memory, number);
        }
        is_live
    }

    /// Closes every segment: what is appended from now on has a later serial.
    pub(crate) fn seal_all(&mut self, memory: &mut Memory) {
        for chain in 0..ChainId::COUNT {
            for number in self.chains[chain].currents().into_iter().flatten() {
                self.seal(memory, number);
            }
        }
    }

    /// Gives every segment back, live or not.
    pub(crate) fn release_all(&mut self, memory: &mut Memory) {
        for index in 0..self.memories.len() {
            let Some(segment_memory) = self.memories[index].take() else { continue };
            let segment = &self.descriptors[index];
            memory.remove_live(segment.chain, segment.live_bytes as usize);
            memory.give_segment(segment_memory);
        }
        *self = Log::new();
    }

    /// Copies the record at `from` to `to`, which `append` made room for.
    pub(crate) fn copy(&mut self, from: Location, to: Location) {
        let span = self.record(from).expect("only records are copied").span().bytes();
        let pair = [from.segment.index(), to.segment.index()];
        let [source, target] =
            self.memories.get_disjoint_mut(pair).expect("a sealed source and an open target are two segments");
        let source = source.as_ref().expect("the source has a record");
        let target = target.as_mut().expect("append opened the target");
        target[to.offset()..to.offset() + span].copy_from_slice(&source[from.offset()..from.offset() + span]);
    }

    #[cold]
    fn open(
        &mut self,
        memory: &mut Memory,
        chain: ChainId,
        stream: Stream,
        span: Span,
        purpose: Purpose,
    ) -> Option<SegmentNumber> {
        if span.bytes() > memory.segment_bytes()
            || (self.vacant.is_empty() && self.memories.len() >= SEGMENT_COUNT_MAX as usize)
        {
            return None;
        }
        let segment_memory = memory.take_segment(purpose)?;
        if let Some(full) = self.chains[chain.index()].current(stream) {
            self.seal(memory, full);
        }
        let serial = memory.next_serial();
        let (age, written) = match stream {
            Stream::Head => (serial, Written { first_s: memory.now_s(), last_s: memory.now_s() }),
            Stream::Survivors { age, written } => (age, written),
        };
        let segment = Segment { serial, age, chain, write_offset: 0, live_bytes: 0, state: State::Open, written };
        let number = match self.vacant.pop() {
            Some(number) => {
                self.memories[number.index()] = Some(segment_memory);
                self.descriptors[number.index()] = segment;
                number
            }
            None => {
                self.memories.push(Some(segment_memory));
                self.descriptors.push(segment);
                SegmentNumber(self.memories.len() as u32 - 1)
            }
        };
        self.chains[chain.index()].add(stream, age, number);
        Some(number)
    }

    fn release(&mut self, memory: &mut Memory, number: SegmentNumber) {
        let segment = &self.descriptors[number.index()];
        debug_assert!(segment.live_bytes == 0 && segment.state == State::Sealed);
        self.chains[segment.chain.index()].remove(segment.age, number);
        let segment_memory = self.memories[number.index()].take().expect("a segment in use has memory");
        self.vacant.push(number);
        memory.give_segment(segment_memory);
    }
}
