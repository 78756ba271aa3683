//! BITFIELD and BITFIELD_RO: integers of 1 to 64 bits anywhere in a string.
//!
//! Invariants
//! - All operations are understood before the first is done, and the string has grown to its last bit by then: what is
//!   refused changes nothing.
//! - A string is taken for zeroes beyond its end.

use item::Key;
use protocol::{Arg, Reply};

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::commands::bits::bit_offset;
use crate::edit;
use crate::number;
use crate::spec::{ACCESS_MODIFY, ACCESS_READ, Keys, Spec, category, flag};

pub(crate) const BITFIELD: Spec = Spec {
    name: "bitfield",
    arity: -2,
    syntax: "key [operation: get-block: GET encoding offset \
             | write: [overflow-block: OVERFLOW <WRAP | SAT | FAIL>] \
             <write-operation: set-block: SET encoding offset value/integer \
             | incrby-block: INCRBY encoding offset increment>] ...",
    flags: flag::WRITE | flag::DENYOOM,
    categories: category::BITMAP,
    keys: Keys::one(ACCESS_MODIFY),
    group: "bitmap",
    since: "3.2.0",
    summary: "Reads, sets and adds to integers of any width within a string.",
    complexity: "O(1) for each operation",
    ..Spec::PLAIN
};

pub(crate) const BITFIELD_RO: Spec = Spec {
    name: "bitfield_ro",
    syntax: "key [get-block: GET encoding offset [GET encoding offset ...]]",
    flags: flag::READONLY | flag::FAST,
    keys: Keys::one(ACCESS_READ),
    since: "6.0.0",
    summary: "Reads integers of any width within a string.",
    ..BITFIELD
};

/// Where an integer lies, and how it is to be read.
#[derive(Clone, Copy, Debug)]
struct Field {
    /// Its first bit.
    offset: u64,
    is_signed: bool,
    /// 1 to 64, or to 63 if it has no sign.
    width: u32,
}

/// What happens to a number that its field cannot hold.
#[derive(Clone, Copy, Debug)]
enum Overflow {
    Wrap,
    Saturate,
    /// Nothing is written and the answer is null.
    Fail,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

/// The operations of a request, understood one by one: twice, first to check them all.
#[derive(Clone)]
struct Operations<'a> {
    rest: &'a [Arg<'a>],
    overflow: Overflow,
}

impl Operations<'_> {
    fn next(&mut self, cache: &Cache) -> Result<Option<(Field, Action)>, Refusal> {
        loop {
            let [name, args @ ..] = self.rest else { return Ok(None) };
            let is = |word: &[u8]| name.bytes().eq_ignore_ascii_case(word);
            match args {
                [kind, offset, rest @ ..] if is(b"get") => {
                    self.rest = rest;
                    return Ok(Some((Field::parse(cache, kind.bytes(), offset.bytes())?, Action::Get)));
                }
                [kind, offset, number, rest @ ..] if is(b"set") || is(b"incrby") => {
                    self.rest = rest;
                    let field = Field::parse(cache, kind.bytes(), offset.bytes())?;
                    let number = number::parse(number.bytes()).ok_or(Refusal::NOT_INTEGER)?;
                    let action = if is(b"set") { Action::Set } else { Action::Add };
                    return Ok(Some((field, action(number, self.overflow))));
                }
                [name, rest @ ..] if is(b"overflow") => {
                    self.rest = rest;
                    self.overflow = Overflow::parse(name.bytes())?;
                }
                _ => return Err(Refusal::SYNTAX),
            }
        }
    }
}

impl Overflow {
    fn parse(name: &[u8]) -> Result<Overflow, Refusal> {
        let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
        match () {
            () if is(b"wrap") => Ok(Overflow::Wrap),
            () if is(b"sat") => Ok(Overflow::Saturate),
            () if is(b"fail") => Ok(Overflow::Fail),
            () => Err(Refusal::text("ERR Invalid OVERFLOW type specified")),
        }
    }
}

/// Bytes that a field of 64 bits may touch.
const WINDOW_BYTES: usize = 9;
const WINDOW_BITS: u32 = 8 * WINDOW_BYTES as u32;

impl Field {
    fn parse(cache: &Cache, kind: &[u8], offset: &[u8]) -> Result<Field, Refusal> {
        const NO_TYPE: Refusal = Refusal::text(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        );
        let (is_signed, width_max, digits) = match kind {
            [b'i', digits @ ..] => (true, 64, digits),
            [b'u', digits @ ..] => (false, 63, digits),
            _ => return Err(NO_TYPE),
        };
        let width = number::parse(digits).filter(|width| (1..=width_max).contains(width)).ok_or(NO_TYPE)? as u32;
        Ok(Field { offset: bit_offset(cache, offset, Some(width))?, is_signed, width })
    }

    fn first_byte(self) -> usize {
        (self.offset / 8) as usize
    }

    fn last_byte(self) -> usize {
        ((self.offset + u64::from(self.width) - 1) / 8) as usize
    }

    /// The bytes around it as one big-endian number.
    fn window(self, bytes: &[u8]) -> u128 {
        let mut window = [0; 16];
        let around = bytes.get(self.first_byte()..).unwrap_or_default();
        let around = &around[..around.len().min(WINDOW_BYTES)];
        window[16 - WINDOW_BYTES..][..around.len()].copy_from_slice(around);
        u128::from_be_bytes(window)
    }

    /// Bits of the window after it.
    fn shift(self) -> u32 {
        WINDOW_BITS - (self.offset % 8) as u32 - self.width
    }

    fn mask(self) -> u128 {
        (1 << self.width) - 1
    }

    fn read(self, bytes: &[u8]) -> i64 {
        self.interpreted(self.window(bytes) >> self.shift() & self.mask())
    }

    /// The number that these bits are.
    fn interpreted(self, bits: u128) -> i64 {
        let unused = i64::BITS - self.width;
        if self.is_signed { (bits as i64) << unused >> unused } else { bits as i64 }
    }

    /// The least and the greatest number that fit.
    fn bounds(self) -> (i128, i128) {
        match self.is_signed {
            true => (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1),
            false => (0, (1 << self.width) - 1),
        }
    }

    /// `number` as the field can hold it; `None` if it cannot and must not.
    fn fitted(self, number: i128, overflow: Overflow) -> Option<i64> {
        let (least, greatest) = self.bounds();
        if (least..=greatest).contains(&number) {
            return Some(number as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.interpreted(number as u128 & self.mask())),
            Overflow::Saturate => Some(number.clamp(least, greatest) as i64),
            Overflow::Fail => None,
        }
    }
}

pub(crate) fn bitfield(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let key = call.key();
    let operations = Operations { rest: call.args_from(2), overflow: Overflow::Wrap };
    let (mut count, mut last_byte) = (0, None);
    let mut checked = operations.clone();
    while let Some((field, action)) = checked.next(cache)? {
        count += 1;
        match action {
            Action::Get => {}
            Action::Set(..) | Action::Add(..) => last_byte = last_byte.max(Some(field.last_byte())),
        }
    }
    if let Some(last_byte) = last_byte {
        if call.command.spec().flags & flag::WRITE == 0 {
            return Err(Refusal::text("ERR BITFIELD_RO only supports the GET subcommand"));
        }
        let length = cache.shards.get(&key, cache.now.unix_ms).map_or(0, |item| item.value.bytes().len());
        if last_byte >= length {
            edit::write_at(cache, &key, last_byte, &[0])?;
        } else {
            edit::mark(cache, &key)?;
        }
    } else {
        // Counts as one use, and as a hit or miss, however many fields are read.
        cache.read(&key);
    }
    reply.array(count);
    let mut operations = operations;
    while let Some((field, action)) = operations.next(cache)? {
        match run(cache, &key, field, action)? {
            Some(number) => reply.integer(number),
            None => reply.null(),
        }
    }
    Ok(())
}

/// Does one operation and answers its number.
fn run(cache: &mut Cache, key: &Key<'_>, field: Field, action: Action) -> Result<Option<i64>, Refusal> {
    let bytes = cache.shards.peek(key, cache.now.unix_ms).map_or(&[][..], |item| item.value.bytes());
    let old = field.read(bytes);
    let (new, answer, must_write) = match action {
        Action::Get => return Ok(Some(old)),
        Action::Set(number, overflow) => {
            // A number without sign is taken as its bits say, as Redis does.
            let number = if field.is_signed { i128::from(number) } else { i128::from(number as u64) };
            (field.fitted(number, overflow), old, false)
        }
        Action::Add(number, overflow) => {
            let new = field.fitted(i128::from(old) + i128::from(number), overflow);
            (new, new.unwrap_or_default(), true)
        }
    };
    let Some(new) = new else { return Ok(None) };
    if new != old || must_write {
        let cleared = field.window(bytes) & !(field.mask() << field.shift());
        let window = cleared | (new as u128 & field.mask()) << field.shift();
        let touched = field.last_byte() - field.first_byte() + 1;
        edit::write_at(cache, key, field.first_byte(), &window.to_be_bytes()[16 - WINDOW_BYTES..][..touched])?;
    }
    Ok(Some(answer))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::rig::{Rig, check};

    #[test]
    fn fields_are_set_and_got() {
        check(
            &[
                ("BITFIELD k", "[]"),
                ("BITFIELD k GET u8 0", "[:0]"),
                ("EXISTS k", ":0"),
                ("BITFIELD k SET i8 0 -100", "[:0]"),
                ("BITFIELD k SET i8 0 101", "[:-100]"),
                ("BITFIELD k GET i8 0", "[:101]"),
                ("DEL k", ":1"),
                ("BITFIELD k SET i8 0 255 SET i8 0 100 GET i8 0", "[:0 :-1 :100]"),
                ("BITFIELD k SET u8 0 255 INCRBY u8 0 100 GET u8 0", "[:100 :99 :99]"),
                ("BITFIELD k SET u8 #0 65 SET u8 #1 66 SET u8 #2 67", "[:99 :0 :0]"),
                ("GET k", "'ABC'"),
                (
                    "BITFIELD k SET i64 3 -1 GET i64 3 GET u63 4 GET u3 0 GET i64 1000",
                    "[:... :-1 :9223372036854775807 :2 :0]",
                ),
            ]
            .map(|(command, expected)| (command, if expected.contains("...") { "..." } else { expected })),
        );
    }

    #[test]
    fn overflow_wraps_saturates_or_fails() {
        check(&[
            ("BITFIELD k SET u8 0 100", "[:0]"),
            ("BITFIELD k OVERFLOW WRAP INCRBY u8 0 257", "[:101]"),
            ("BITFIELD k INCRBY u8 0 255", "[:100]"),
            ("BITFIELD k OVERFLOW SAT INCRBY u8 0 257", "[:255]"),
            ("BITFIELD k OVERFLOW SAT INCRBY u8 0 -256", "[:0]"),
            ("BITFIELD k SET i8 0 100 OVERFLOW SAT INCRBY i8 0 257 INCRBY i8 0 -256", "[:0 :127 :-128]"),
            ("BITFIELD k OVERFLOW FAIL INCRBY i8 0 -1 SET i8 0 128 GET i8 0", "[nil nil :-128]"),
            ("BITFIELD k OVERFLOW SAT SET u8 0 -1 GET u8 0", "[:128 :255]"),
            ("BITFIELD k OVERFLOW FAIL INCRBY u8 100 -1", "[nil]"),
            ("STRLEN k", ":14"),
            ("BITFIELD n SET i64 0 9223372036854775807 INCRBY i64 0 1", "[:0 :-9223372036854775808]"),
            ("BITFIELD n OVERFLOW SAT INCRBY i64 0 -1", "[:-9223372036854775808]"),
            ("BITFIELD n OVERFLOW FAIL INCRBY i64 0 -1", "[nil]"),
        ]);
    }

    #[test]
    fn bad_operations_are_refused_and_change_nothing() {
        let kind = "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
        let offset = "-ERR bit offset is not an integer or out of range";
        check(&[
            ("BITFIELD k SET u8 0 1 FOO", "-ERR syntax error"),
            ("BITFIELD k GET u8", "-ERR syntax error"),
            ("BITFIELD k SET u8 0", "-ERR syntax error"),
            ("BITFIELD k OVERFLOW", "-ERR syntax error"),
            ("BITFIELD k OVERFLOW x", "-ERR Invalid OVERFLOW type specified"),
            ("BITFIELD k SET u8 0 1 GET u64 0", kind),
            ("BITFIELD k GET i65 0", kind),
            ("BITFIELD k GET i0 0", kind),
            ("BITFIELD k GET x8 0", kind),
            ("BITFIELD k GET U8 0", kind),
            ("BITFIELD k GET u8 -1", offset),
            ("BITFIELD k GET u8 #-1", offset),
            ("BITFIELD k GET u8 4294967296", offset),
            ("BITFIELD k GET u8 #536870912", offset),
            ("BITFIELD k GET u8 #9223372036854775807", offset),
            ("BITFIELD k SET u8 0 x", "-ERR value is not an integer or out of range"),
            ("BITFIELD_RO k SET u8 0 1 GET u8 0", "-ERR BITFIELD_RO only supports the GET subcommand"),
            ("BITFIELD_RO k GET u8 0 OVERFLOW SAT GET i8 7", "[:0 :0]"),
            ("BITFIELD_RO k", "[]"),
            ("EXISTS k", ":0"),
        ]);
    }

    /// A field among a string's bits, read and written bit by bit.
    struct Naive(Vec<bool>);

    impl Naive {
        fn read(&self, offset: usize, width: usize, is_signed: bool) -> i128 {
            let bit = |i: usize| self.0.get(offset + i).copied().unwrap_or(false);
            let bits = (0..width).fold(0i128, |number, i| number << 1 | i128::from(bit(i)));
            if is_signed && bit(0) { bits - (1 << width) } else { bits }
        }

        fn write(&mut self, offset: usize, width: usize, number: i128) {
            self.grow(offset, width);
            for i in 0..width {
                self.0[offset + i] = number >> (width - 1 - i) & 1 == 1;
            }
        }

        fn grow(&mut self, offset: usize, width: usize) {
            let bits = (offset + width).next_multiple_of(8);
            self.0.resize(self.0.len().max(bits), false);
        }
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_a_walk_over_the_bits(
            steps in prop::collection::vec(
                (0usize..200, 1usize..=64, any::<bool>(), any::<bool>(), 0usize..3, any::<i64>(), 0u32..64),
                1..40,
            ),
        ) {
            let (mut rig, mut naive) = (Rig::new(), Naive(Vec::new()));
            for (offset, width, is_signed, adds, overflow, number, shift) in steps {
                let width = if is_signed { width } else { width.min(63) };
                let number = number >> shift;
                let old = naive.read(offset, width, is_signed);
                let (least, most): (i128, i128) =
                    if is_signed { (-(1 << (width - 1)), (1 << (width - 1)) - 1) } else { (0, (1 << width) - 1) };
                let set = if is_signed { i128::from(number) } else { i128::from(number as u64) };
                let wanted = if adds { old + i128::from(number) } else { set };
                let range = 1i128 << width;
                let new = match overflow {
                    0 => Some((wanted - least).rem_euclid(range) + least),
                    1 => Some(wanted.clamp(least, most)),
                    _ => Some(wanted).filter(|wanted| (least..=most).contains(wanted)),
                };
                naive.grow(offset, width);
                let answer = new.map_or("nil".to_owned(), |new| {
                    naive.write(offset, width, new);
                    format!(":{}", if adds { new } else { old })
                });
                let kind = format!("{}{width}", if is_signed { 'i' } else { 'u' });
                let verb = if adds { "INCRBY" } else { "SET" };
                let policy = ["WRAP", "SAT", "FAIL"][overflow];
                let line = format!("BITFIELD k OVERFLOW {policy} {verb} {kind} {offset} {number} GET {kind} {offset}");
                let now = naive.read(offset, width, is_signed);
                prop_assert_eq!(rig.run(&line), format!("[{answer} :{now}]"), "{}", line);
                prop_assert_eq!(rig.run("STRLEN k"), format!(":{}", naive.0.len() / 8));
            }
        }
    }
}
