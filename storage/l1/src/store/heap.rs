//! Heap values: the `Bytes` behind the stubs of one store.
//!
//! Invariants
//! - A number names one value from `insert` to `remove`; a stub in the log holds it.
//! - Pages of 64 values are allocated one by one, so no insert moves what is there.

use bytes::Bytes;

use crate::allocation::rounded;

/// Values allocated together.
pub(super) const PAGE_VALUES: usize = 64;
type Page = Box<[Option<Bytes>; PAGE_VALUES]>;

/// Values too long for a record.
#[derive(Default)]
pub(crate) struct Heap {
    pages: Vec<Page>,
    vacant: Vec<u32>,
}

impl Heap {
    /// What a value of this length is charged.
    pub(crate) fn charge_of(value_bytes: usize) -> usize {
        rounded(value_bytes) + size_of::<Option<Bytes>>()
    }

    pub(crate) fn insert(&mut self, value: Bytes) -> u32 {
        if self.vacant.is_empty() {
            let first = (self.pages.len() * PAGE_VALUES) as u32;
            self.pages.push(Box::new([const { None }; PAGE_VALUES]));
            self.vacant.extend((first..first + PAGE_VALUES as u32).rev());
        }
        let number = self.vacant.pop().expect("a page was added");
        *self.place(number) = Some(value);
        number
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Bytes> {
        self.pages.get(number as usize / PAGE_VALUES)?[number as usize % PAGE_VALUES].as_ref()
    }

    /// Puts another value behind the same number and returns the old one.
    pub(crate) fn replace(&mut self, number: u32, value: Bytes) -> Bytes {
        self.place(number).replace(value).expect("the stub named a value")
    }

    /// Writes `bytes` over the value from `at` on and lengthens it as far as its allocation reaches, with zeroes up to
    /// `at`. False, and nothing is changed, if it does not reach, or if somebody else holds the value too.
    pub(crate) fn write(&mut self, number: u32, at: usize, bytes: &[u8]) -> bool {
        let place = self.place(number).as_mut().expect("the stub named a value");
        match std::mem::take(place).try_into_mut() {
            Ok(mut value) => {
                let end = at + bytes.len();
                let fits = end <= value.capacity();
                if fits {
                    value.resize(end.max(value.len()), 0);
                    value[at..end].copy_from_slice(bytes);
                }
                *place = value.freeze();
                fits
            }
            Err(shared) => {
                *place = shared;
                false
            }
        }
    }

    pub(crate) fn remove(&mut self, number: u32) -> Bytes {
        let value = self.place(number).take().expect("the stub named a value");
        self.vacant.push(number);
        value
    }

    /// Values held.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.pages.len() * PAGE_VALUES - self.vacant.len()
    }

    /// Frees up to `count_max` pages and hands out their values; true while there are more.
    pub(crate) fn drop_pages(&mut self, count_max: usize, mut each: impl FnMut(Bytes)) -> bool {
        for page in self.pages.drain(self.pages.len().saturating_sub(count_max)..) {
            page.into_iter().flatten().for_each(&mut each);
        }
        !self.pages.is_empty()
    }

    fn place(&mut self, number: u32) -> &mut Option<Bytes> {
        &mut self.pages[number as usize / PAGE_VALUES][number as usize % PAGE_VALUES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_their_values_until_removed() {
        let mut heap = Heap::default();
        let numbers: Vec<u32> = (0..200).map(|id| heap.insert(Bytes::from(vec![id as u8; 3]))).collect();
        for (id, number) in numbers.iter().enumerate() {
            assert_eq!(heap.get(*number).unwrap()[0], id as u8);
        }
        assert_eq!(heap.remove(numbers[7])[0], 7);
        assert!(heap.get(numbers[7]).is_none());
        assert_eq!(heap.insert(Bytes::from_static(b"x")), numbers[7]);
        assert_eq!(heap.replace(numbers[8], Bytes::from_static(b"y"))[0], 8);
        assert_eq!(heap.len(), 200);
    }

    #[test]
    fn a_value_is_written_where_it_lies_unless_it_is_shared() {
        let mut heap = Heap::default();
        let mut spacious = Vec::with_capacity(16);
        spacious.extend_from_slice(b"0123456789");
        let number = heap.insert(Bytes::from(spacious));
        let address = heap.get(number).unwrap().as_ptr();
        assert!(heap.write(number, 8, b"xyz"));
        assert_eq!(heap.get(number).unwrap(), "01234567xyz");
        assert!(heap.write(number, 13, b"abc"), "up to the end of the allocation");
        assert_eq!(heap.get(number).unwrap(), "01234567xyz\0\0abc");
        assert_eq!(heap.get(number).unwrap().as_ptr(), address);
        assert!(!heap.write(number, 16, b"d"), "beyond it");
        let reader = heap.get(number).unwrap().clone();
        assert!(!heap.write(number, 0, b"d"), "a reply still sends it");
        assert_eq!(reader, "01234567xyz\0\0abc");
        drop(reader);
        assert!(heap.write(number, 0, b"d"));
        assert_eq!(heap.get(number).unwrap(), "d1234567xyz\0\0abc");
    }
}
