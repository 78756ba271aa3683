//! Owned requests: what a client has sent, kept until its time comes (queued by MULTI, held back by CLIENT PAUSE).
//!
//! Small arguments share one allocation; large ones keep the memory that they were received into.

use bytes::Bytes;
use protocol::{Arg, Request};

/// A request that outlives the receive buffer.
#[derive(Debug, Default)]
pub(crate) struct OwnedRequest {
    small: Vec<u8>,
    args: Vec<OwnedArg>,
}

#[derive(Debug)]
enum OwnedArg {
    /// Ends here in `small`, and begins where the last small one ended.
    SmallTo(usize),
    Large(Bytes),
}

impl OwnedRequest {
    /// A copy of `request`.
    pub fn new(request: Request<'_>) -> OwnedRequest {
        let small_bytes = |arg: &Arg<'_>| if arg.as_large().is_some() { 0 } else { arg.bytes().len() };
        let mut small = Vec::with_capacity(request.args().iter().map(small_bytes).sum());
        let args = request.args().iter().map(|arg| match arg.as_large() {
            Some(large) => OwnedArg::Large(large.clone()),
            None => {
                small.extend_from_slice(arg.bytes());
                OwnedArg::SmallTo(small.len())
            }
        });
        let args = args.collect();
        OwnedRequest { small, args }
    }

    /// Hands the request to `each`.
    pub fn with<T>(&self, each: impl FnOnce(Request<'_>) -> T) -> T {
        let mut from = 0;
        let args = self.args.iter().map(|arg| match arg {
            OwnedArg::SmallTo(to) => Arg::new(&self.small[std::mem::replace(&mut from, *to)..*to]),
            OwnedArg::Large(large) => Arg::large(large),
        });
        let args: Vec<Arg<'_>> = args.collect();
        each(Request::new(&args))
    }

    /// Bytes held, for accounting.
    pub fn held_bytes(&self) -> usize {
        let large_bytes = |arg: &OwnedArg| match arg {
            OwnedArg::SmallTo(_) => 0,
            OwnedArg::Large(large) => large.len(),
        };
        let large: usize = self.args.iter().map(large_bytes).sum();
        size_of::<OwnedRequest>() + self.small.capacity() + self.args.capacity() * size_of::<OwnedArg>() + large
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_request_is_the_request() {
        let large = Bytes::from(vec![b'x'; 20_000]);
        let args = [Arg::new(b"mset"), Arg::new(b""), Arg::large(&large), Arg::new(b"k"), Arg::new(b"v")];
        let owned = OwnedRequest::new(Request::new(&args));
        owned.with(|request| {
            let (found, expected): (Vec<_>, Vec<_>) =
                request.args().iter().zip(&args).map(|(found, expected)| (found.bytes(), expected.bytes())).unzip();
            assert_eq!(found, expected);
            assert_eq!(request.args()[2].as_large().map(|large| large.as_ptr()), Some(large.as_ptr()), "by reference");
        });
        assert!(owned.held_bytes() > 20_000);
    }
}
