//! Call: one command with everything its function needs to know about who asks for what.

use item::{KEY_BYTES_MAX, Key, Keyspace, Place};
use protocol::{Arg, Request};

use crate::answer::Refusal;
use crate::clients::ClientIndex;
use crate::table::Command;

/// One command about to run.
pub(crate) struct Call<'a> {
    /// Who asks.
    pub client: ClientIndex,
    /// What is asked.
    pub command: Command,
    /// The keyspace of the client's database.
    pub keyspace: Keyspace,
    /// Where the first key lives, if there is one.
    pub place: Place,
    /// The arguments.
    pub request: Request<'a>,
}

impl<'a> Call<'a> {
    /// The first key, which is argument 1. Its length is checked already.
    #[inline]
    pub fn key(&self) -> Key<'a> {
        self.key_at(1)
    }

    /// The first key, which is argument `index` as the spec says. Its length is checked already.
    #[inline]
    pub fn key_at(&self, index: usize) -> Key<'a> {
        debug_assert_eq!(index, usize::from(self.command.shape().first_key), "the place belongs to the first key");
        Key { keyspace: self.keyspace, place: self.place, bytes: self.request.arg(index) }
    }

    /// The bytes of argument `index`; 0 is the name.
    #[inline]
    pub fn arg(&self, index: usize) -> &'a [u8] {
        self.request.arg(index)
    }

    /// Arguments from `index` on.
    #[inline]
    pub fn args_from(&self, index: usize) -> &'a [Arg<'a>] {
        self.request.args().get(index..).unwrap_or_default()
    }

    /// Number of arguments, name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.request.len()
    }

    /// Refuses keys that no record can hold. For commands with more keys than the first, before they change anything.
    #[inline]
    pub fn check_keys(&self, step: usize) -> Result<(), Refusal> {
        let fits = |arg: &Arg<'_>| arg.bytes().len() <= KEY_BYTES_MAX;
        if self.args_from(1).iter().step_by(step).all(fits) { Ok(()) } else { Err(KEY_TOO_LONG) }
    }
}

const _: () = assert!(KEY_BYTES_MAX == 16 * 1024, "the error text names the limit");

/// The refusal of a key that no record can hold.
pub(crate) const KEY_TOO_LONG: Refusal = Refusal::text("ERR key is longer than 16384 bytes");
