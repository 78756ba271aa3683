//! Assembly: what the parsers and assemblers of all protocols tell about a request.

/// How far a feed has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Bytes of the input that belong to the request and were taken.
    pub consumed: usize,
    /// Where the request stands.
    pub state: FedState,
}

/// Where a request stands after a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FedState {
    /// All input was taken and the request goes on.
    NeedMore,
    /// The request is whole: read it, then `clear`.
    Complete,
    /// The request was empty and is forgotten: no answer is due.
    Nothing,
}

/// What lies at the start of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A request in the input's first `consumed` bytes; its `argc` arguments are at the end of `args`.
    Request {
        /// Bytes of the request.
        consumed: usize,
        /// Arguments pushed, at least 1.
        argc: usize,
    },
    /// An empty line in the first `consumed` bytes: no answer is due.
    Nothing {
        /// Bytes of the line.
        consumed: usize,
    },
    /// Not a whole, small, plain request: feed it to the `Assembler`.
    Incomplete,
}
