//! Provided buffers of the fake ring.
//!
//! ```text
//! home --fill--> filled (in a completion) --lend--> lent (reaped) --recycle--> home
//! ```
//!
//! Invariants
//! - A buffer that comes home is overwritten, so bytes that are used after their recycling are wrong bytes.

use uring::Chunk;

/// What a buffer at home holds: no request, no value, no number.
const POISON: u8 = 0xdb;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Home,
    Filled,
    Lent,
}

/// The buffers.
#[derive(Debug)]
pub struct Pool {
    buffers: Vec<(Place, Vec<u8>)>,
    home: Vec<u16>,
    buffer_bytes: usize,
}

impl Pool {
    /// `count` buffers, all at home.
    pub fn new(count: u16, buffer_bytes: usize) -> Pool {
        let buffers = (0..count).map(|_| (Place::Home, Vec::with_capacity(buffer_bytes))).collect();
        Pool { buffers, home: (0..count).rev().collect(), buffer_bytes }
    }

    /// Size of one buffer.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// True if every buffer is out.
    pub fn is_empty(&self) -> bool {
        self.home.is_empty()
    }

    /// True if every buffer is at home.
    pub fn is_full(&self) -> bool {
        self.home.len() == self.buffers.len()
    }

    /// Buffers that the server has.
    pub fn lent_count(&self) -> usize {
        self.buffers.iter().filter(|(place, _)| *place == Place::Lent).count()
    }

    /// Fills a buffer from `bytes`, of which there are as many as fit at most.
    pub fn fill(&mut self, bytes: impl Iterator<Item = u8>) -> Chunk {
        let buffer = self.home.pop().expect("the caller has asked");
        let (place, content) = &mut self.buffers[usize::from(buffer)];
        *place = Place::Filled;
        content.clear();
        content.extend(bytes);
        assert!((1..=self.buffer_bytes).contains(&content.len()));
        let len = u32::try_from(content.len()).expect("buffers are small");
        Chunk { buffer, len }
    }

    /// The completion that names `chunk` is reaped.
    pub fn lend(&mut self, chunk: &Chunk) {
        let (place, _) = &mut self.buffers[usize::from(chunk.buffer)];
        assert_eq!(*place, Place::Filled);
        *place = Place::Lent;
    }

    /// The bytes of a lent chunk.
    pub fn bytes(&self, chunk: &Chunk) -> &[u8] {
        let (place, content) = &self.buffers[usize::from(chunk.buffer)];
        assert_eq!(*place, Place::Lent, "the server reads a buffer that it does not have");
        &content[..chunk.len as usize]
    }

    /// Takes a buffer back.
    pub fn recycle(&mut self, chunk: Chunk) {
        let (place, content) = &mut self.buffers[usize::from(chunk.buffer)];
        assert_eq!(*place, Place::Lent, "the server recycles a buffer that it does not have");
        *place = Place::Home;
        content.fill(POISON);
        self.home.push(chunk.buffer);
    }
}
