//! Double: a floating-point number as Redis prints it.
//!
//! The fewest digits that read back as the same number. Whole numbers up to 2^62 print plainly; others use an exponent
//! when the plain form would need more than six zeros.
//!
//! Absent on purpose: precision settings. There is one form.

use std::fmt::Write;

/// Bytes of the longest text: sign, 17 digits, point, `e`, sign, three digits; or a plain form of 17 digits and 7 zeros.
const TEXT_BYTES_MAX: usize = 32;

/// The printed number.
pub struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    len: usize,
}

impl Text {
    /// Prints `value`; infinities and not-a-number as `inf`, `-inf`, `nan`.
    pub fn new(value: f64) -> Self {
        let mut text = Text { bytes: [0; TEXT_BYTES_MAX], len: 0 };
        write!(text, "{value}").expect("skeleton");
        text
    }

    /// The text, ASCII.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("only ASCII was written")
    }
}

impl Write for Text {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        let end = self.len + piece.len();
        let Some(room) = self.bytes.get_mut(self.len..end) else { return Err(std::fmt::Error) };
        room.copy_from_slice(piece.as_bytes());
        self.len = end;
        Ok(())
    }
}
