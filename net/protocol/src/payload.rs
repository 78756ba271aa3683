//! Payload: the bytes of one argument whose length was announced, while they arrive.
//!
//! ```text
//!   None ---> Small ----+
//!    | \----> Large ----+---> whole: None again, the argument is among the parts
//!    |        |  ^      |
//!    |        v  |      |
//!    |        Lent      |
//!    +------> Skipped --+
//! ```
//!
//! Invariants
//! - Memory follows the bytes that have arrived. A large argument's buffer is reserved whole, so that it is received in
//!   place and becomes a `Bytes` without slack, but none of it is touched before its bytes come.
//! - A lent buffer comes back before anything else happens here.
//!
//! Absent on purpose: the decision where a payload goes, which is the assemblers'.

use bytes::{Bytes, BytesMut};

use crate::parts::Parts;

/// One payload.
#[derive(Debug, Default)]
pub struct Payload {
    place: Place,
    /// The large argument that is arriving, unless it is lent.
    filling: BytesMut,
}

/// Where the payload goes.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    None,
    Small {
        lacking: usize,
    },
    Large {
        len: usize,
    },
    Lent {
        len: usize,
        filled: usize,
    },
    Skipped {
        lacking: usize,
    },
}

impl Payload {
    /// Expects `len` bytes of a small argument.
    pub fn begin_small(&mut self, len: usize) {
        self.place = Place::Small { lacking: len };
    }

    /// Expects `len` bytes of a large argument. False if there is no memory for them.
    #[must_use]
    pub fn begin_large(&mut self, len: usize) -> bool {
        let Some(buffer) = reserve(len) else { return false };
        self.filling = buffer;
        self.place = Place::Large { len };
        true
    }

    /// Expects `len` bytes that nobody wants.
    pub fn begin_skipped(&mut self, len: usize) {
        self.place = Place::Skipped { lacking: len };
    }

    /// Takes bytes of the payload: how many. `end_if_whole` is to be asked next.
    pub fn feed(&mut self, input: &[u8], parts: &mut Parts) -> usize {
        match &mut self.place {
            Place::Small { lacking } => {
                let taken = input.len().min(*lacking);
                parts.extend_small(&input[..taken]);
                *lacking -= taken;
                taken
            }
            Place::Large { len } => {
                let taken = input.len().min(*len - self.filling.len());
                self.filling.extend_from_slice(&input[..taken]);
                taken
            }
            Place::Skipped { lacking } => {
                let taken = input.len().min(*lacking);
                *lacking -= taken;
                taken
            }
            Place::Lent { .. } => panic!("the lent buffer comes back before the next feed"),
            Place::None => unreachable!("fed while a payload arrives"),
        }
    }

    /// Makes an argument of the payload if all of it has arrived; a skipped one becomes none. True if it has.
    pub fn end_if_whole(&mut self, parts: &mut Parts) -> bool {
        match self.place {
            Place::Small { lacking: 0 } => parts.end_small(),
            Place::Large { len } if self.filling.len() == len => {
                parts.push_large(std::mem::take(&mut self.filling).freeze());
            }
            Place::Skipped { lacking: 0 } => {}
            Place::None | Place::Small { .. } | Place::Large { .. } | Place::Lent { .. } | Place::Skipped { .. } => {
                return false;
            }
        }
        self.place = Place::None;
        true
    }

    /// While a large argument is arriving: the bytes it still lacks, at least 1.
    pub fn filling(&self) -> Option<usize> {
        if let Place::Large { len } = self.place { Some(len - self.filling.len()) } else { None }
    }

    /// The bytes that a large argument lacks, lent or not: 0 while none arrives.
    pub fn promised(&self) -> usize {
        match self.place {
            Place::Large { len } => len - self.filling.len(),
            Place::Lent { len, filled } => len - filled,
            Place::None | Place::Small { .. } | Place::Skipped { .. } => 0,
        }
    }

    /// Lends the large argument's buffer: its spare capacity is what `filling` said.
    pub fn take_filling(&mut self) -> BytesMut {
        let Place::Large { len } = self.place else { panic!("no large argument is arriving") };
        self.place = Place::Lent { len, filled: self.filling.len() };
        std::mem::take(&mut self.filling)
    }

    /// Takes the buffer back, with more bytes in it or as it was. `end_if_whole` is to be asked next.
    pub fn put_filling(&mut self, filling: BytesMut) {
        let Place::Lent { len, filled } = self.place else { panic!("no buffer is lent") };
        assert!((filled..=len).contains(&filling.len()), "the lent buffer, within the payload");
        self.filling = filling;
        self.place = Place::Large { len };
    }

    /// Bytes of memory that are held, beside the parts; a lent buffer counts with what it had.
    pub fn held_bytes(&self) -> usize {
        let lent = if let Place::Lent { filled, .. } = self.place { filled } else { 0 };
        self.filling.len() + lent
    }

    /// Forgets the payload.
    pub fn clear(&mut self) {
        *self = Payload::default();
    }
}

/// A buffer of exactly `len` bytes, or `None` if there is no such memory: a client chooses `len`, so failure must not
/// end the process.
fn reserve(len: usize) -> Option<BytesMut> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(len).ok()?;
    // The only way from a vector to a `BytesMut` leads through `Bytes`; both steps keep the allocation.
    Some(BytesMut::from(Bytes::from(memory)))
}
