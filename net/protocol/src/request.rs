//! Request: a command's arguments, name first, as every protocol delivers them.
//!
//! Invariants
//! - A `Request` has at least one argument.
//! - An argument that a client framed by its length is `large` exactly if it has `LARGE_BULK_MIN` bytes or more. A word
//!   of an inline command never is, though it may be that long.
//!
//! Absent on purpose: command names and arities. The cache knows those.

use bytes::Bytes;

/// From this length on, in bytes, an argument is a refcounted value of its own and is received in place.
pub const LARGE_BULK_MIN: usize = 16 * 1024;

/// One argument: bytes borrowed from a buffer, or a refcounted value.
#[derive(Clone, Copy, Debug)]
pub struct Arg<'a>(Kind<'a>);

#[derive(Clone, Copy, Debug)]
enum Kind<'a> {
    Small(&'a [u8]),
    Large(&'a Bytes),
}

// One vector store per argument: the parse loop writes millions of them per second.
const _: () = assert!(size_of::<Arg<'_>>() == 16);

impl<'a> Arg<'a> {
    /// An argument that borrows its bytes.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Arg(Kind::Small(bytes))
    }

    /// An argument that is a refcounted value.
    #[inline]
    pub fn large(value: &'a Bytes) -> Self {
        Arg(Kind::Large(value))
    }

    /// The argument's bytes.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        match self.0 {
            Kind::Small(bytes) => bytes,
            Kind::Large(value) => value,
        }
    }

    /// The value to share by reference, if the argument is large.
    #[inline]
    pub fn as_large(self) -> Option<&'a Bytes> {
        match self.0 {
            Kind::Small(_) => None,
            Kind::Large(value) => Some(value),
        }
    }
}

/// A request: its arguments, name first; at least one.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    args: &'a [Arg<'a>],
}

impl<'a> Request<'a> {
    /// A request over `args`, which must not be empty.
    #[inline]
    pub fn new(args: &'a [Arg<'a>]) -> Self {
        debug_assert!(!args.is_empty(), "a request has a name");
        Request { args }
    }

    /// Number of arguments, the name included.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a request is never empty")]
    pub fn len(self) -> usize {
        self.args.len()
    }

    /// The command's name as the client wrote it.
    #[inline]
    pub fn name(self) -> &'a [u8] {
        self.arg(0)
    }

    /// The bytes of argument `index`; 0 is the name. Panics if there is none: the caller has checked the arity.
    #[inline]
    pub fn arg(self, index: usize) -> &'a [u8] {
        self.args[index].bytes()
    }

    /// Argument `index`, if there is one.
    #[inline]
    pub fn get(self, index: usize) -> Option<Arg<'a>> {
        self.args.get(index).copied()
    }

    /// All arguments, name first.
    #[inline]
    pub fn args(self) -> &'a [Arg<'a>] {
        self.args
    }
}

/// The allocation of a `Vec<Arg>` between two uses, so that a steady stream of requests allocates nothing.
#[derive(Debug, Default)]
pub struct ArgBuffer {
    spare: Vec<Arg<'static>>,
}

impl ArgBuffer {
    /// Arguments whose allocation survives `reclaim`: 64 KiB of them. One huge request must not pin its memory.
    pub const KEPT_MAX: usize = 64 * 1024 / size_of::<Arg<'static>>();

    /// A buffer without allocation.
    pub const fn new() -> Self {
        ArgBuffer { spare: Vec::new() }
    }

    /// Lends the allocation, empty.
    #[inline]
    pub fn lend<'a>(&mut self) -> Vec<Arg<'a>> {
        std::mem::take(&mut self.spare)
    }

    /// Takes the allocation back.
    #[inline]
    pub fn reclaim(&mut self, mut args: Vec<Arg<'_>>) {
        if args.capacity() > Self::KEPT_MAX {
            return;
        }
        args.clear();
        // An emptied vector changes its lifetime: collecting from its own iterator reuses the allocation in place,
        // which `lending_keeps_the_allocation` holds the standard library to.
        self.spare = args.into_iter().map(|_| Arg::new(b"")).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lending_keeps_the_allocation() {
        let mut buffer = ArgBuffer::new();
        let mut args = buffer.lend();
        args.resize(100, Arg::new(b"x"));
        let (at, capacity) = (args.as_ptr().addr(), args.capacity());
        buffer.reclaim(args);
        let again = buffer.lend();
        assert_eq!((again.as_ptr().addr(), again.capacity(), again.len()), (at, capacity, 0));
    }

    #[test]
    fn a_huge_lending_is_not_kept() {
        let mut buffer = ArgBuffer::new();
        let mut args = buffer.lend();
        args.resize(ArgBuffer::KEPT_MAX + 1, Arg::new(b"x"));
        buffer.reclaim(args);
        assert_eq!(buffer.lend().capacity(), 0);
    }

    #[test]
    fn a_large_argument_is_shared_not_copied() {
        let value = Bytes::from(vec![7; LARGE_BULK_MIN]);
        let args = [Arg::new(b"ECHO"), Arg::large(&value)];
        let request = Request::new(&args);
        assert_eq!(request.len(), 2);
        assert_eq!(request.name(), b"ECHO");
        assert_eq!(request.arg(1).as_ptr(), value.as_ptr());
        assert!(request.args()[0].as_large().is_none());
        assert_eq!(request.get(1).and_then(Arg::as_large).map(|v| v.as_ptr()), Some(value.as_ptr()));
        assert!(request.get(2).is_none());
    }
}
