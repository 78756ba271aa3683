//! ProtocolError: what is wrong with a client's bytes.
//!
//! Invariants
//! - `Display` gives the text that follows `-ERR ` in the answer; clients know these texts, so they never change.
//! - After any of these the stream has no known request boundary: the connection is answered and closed.

use std::fmt;

/// A stream that cannot be parsed further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number after `*` is no integer or above the limit.
    MultibulkLength,
    /// Too many arguments before AUTH.
    MultibulkUnauthenticated,
    /// The line after `*` does not end.
    MultibulkHeader,
    /// An argument does not start with `$`.
    ExpectedBulk {
        /// What it starts with.
        got: u8,
    },
    /// The number after `$` is no length or above the limit.
    BulkLength,
    /// Too long an argument before AUTH.
    BulkUnauthenticated,
    /// The line after `$` does not end.
    BulkHeader,
    /// An argument is not followed by CRLF.
    BulkTrailer,
    /// An inline command does not end.
    InlineLength,
    /// An inline command's quotes do not match, or text follows a closing quote.
    InlineQuotes,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        match *self {
            ProtocolError::MultibulkLength => f.write_str("invalid multibulk length"),
            ProtocolError::MultibulkUnauthenticated => f.write_str("unauthenticated multibulk length"),
            ProtocolError::MultibulkHeader => f.write_str("too big mbulk count string"),
            ProtocolError::ExpectedBulk { got } => {
                // The text is one line of ASCII: whatever would break that shows as a space.
                let shown = if got.is_ascii_graphic() { char::from(got) } else { ' ' };
                write!(f, "expected '$', got '{shown}'")
            }
            ProtocolError::BulkLength => f.write_str("invalid bulk length"),
            ProtocolError::BulkUnauthenticated => f.write_str("unauthenticated bulk length"),
            ProtocolError::BulkHeader => f.write_str("too big bulk count string"),
            ProtocolError::BulkTrailer => f.write_str("expected CRLF after bulk"),
            ProtocolError::InlineLength => f.write_str("too big inline request"),
            ProtocolError::InlineQuotes => f.write_str("unbalanced quotes in request"),
        }
    }
}

impl std::error::Error for ProtocolError {}
