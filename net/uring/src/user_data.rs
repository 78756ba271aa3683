//! `user_data`: what a submission carries to its completions.
//!
//! ```text
//! 63        56 55                        32 31                                0
//! +-----------+----------------------------+----------------------------------+
//! | operation |  generation (low 24 bits)  |               slot               |
//! +-----------+----------------------------+----------------------------------+
//! ```
//!
//! Invariants
//! - `decode(encode(code, token))` gives the code back, and the token with its generation cut to 24 bits.
//! - No operation has code 0 or 255, so neither 0 nor `u64::MAX` ever names one.

use crate::op::Code;
use crate::ring::Token;

/// Bits of a generation that travel through the ring.
pub(crate) const GENERATION_MASK: u32 = 0x00FF_FFFF;

/// Packs an operation and its asker.
#[inline]
pub(crate) fn encode(code: Code, token: Token) -> u64 {
    (code as u64) << 56 | u64::from(token.generation & GENERATION_MASK) << 32 | u64::from(token.slot)
}

/// Unpacks `user_data`; `None` if it names no operation of ours.
#[inline]
pub(crate) fn decode(user_data: u64) -> Option<(Code, Token)> {
    let code = Code::from_byte((user_data >> 56) as u8)?;
    let token = Token { slot: user_data as u32, generation: (user_data >> 32) as u32 & GENERATION_MASK };
    Some((code, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_and_token_survives_the_round_trip() {
        for code in [Code::Accept, Code::Recv, Code::RecvInto, Code::Send, Code::Cancel] {
            for (slot, generation) in [(0, 0), (1, 2), (u32::MAX, GENERATION_MASK), (7, 0x8000_0000)] {
                let (got, token) = decode(encode(code, Token { slot, generation })).unwrap();
                assert_eq!(got, code);
                assert_eq!(token, Token { slot, generation: generation & GENERATION_MASK });
            }
        }
    }

    #[test]
    fn foreign_user_data_names_no_operation() {
        for foreign in [0, 1, u64::MAX, 200 << 56] {
            assert_eq!(decode(foreign), None);
        }
    }
}
