//! One pass over CBOR that refuses every form but the one the format allows.

use std::collections::BTreeSet;

use super::FormatError;
use crate::limits;

/// Goes through one whole body without taking memory for its values: the `v` of its outer map.
pub(super) fn scan(bytes: &[u8]) -> Result<u64, FormatError> {
    let mut scan = Scan { rest: bytes, items_left: limits::CBOR_ITEM_COUNT_MAX, version: None };
    let Head { major: MAP, argument } = scan.head()? else {
        return Err(invalid("a body is a map"));
    };
    scan.map(argument, 1)?;
    if !scan.rest.is_empty() {
        let count = u64::try_from(scan.rest.len()).unwrap_or(u64::MAX);
        return Err(FormatError::Trailing { what: "a CBOR body", count });
    }
    scan.version.ok_or(invalid("a body has a version, `v`"))
}

fn invalid(why: &'static str) -> FormatError {
    FormatError::Invalid { field: "CBOR", why }
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;

struct Head {
    major: u8,
    argument: u64,
}

struct Scan<'a> {
    rest: &'a [u8],
    items_left: u32,
    version: Option<u64>,
}

impl<'a> Scan<'a> {
    /// The head of an item: its argument in the shortest form, never an indefinite length.
    fn head(&mut self) -> Result<Head, FormatError> {
        self.items_left = self.items_left.checked_sub(1).ok_or(FormatError::TooMany {
            field: "number of CBOR items",
            count: u64::from(limits::CBOR_ITEM_COUNT_MAX).saturating_add(1),
            count_max: u64::from(limits::CBOR_ITEM_COUNT_MAX),
        })?;
        let [first] = self.take::<1>()?;
        let (major, info) = (first >> 5, first & 31);
        let (argument, least) = match info {
            0..24 => (u64::from(info), 0),
            24 => (u64::from(u8::from_be_bytes(self.take()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.take()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.take()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.take()?), 1 << 32),
            _ => return Err(invalid("lengths are definite")),
        };
        if argument < least {
            return Err(invalid("integers and lengths are in their shortest form"));
        }
        Ok(Head { major, argument })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let cut = FormatError::Truncated { field: "a CBOR body" };
        let (first, rest) = self.rest.split_first_chunk::<N>().ok_or(cut)?;
        self.rest = rest;
        Ok(*first)
    }

    fn run(&mut self, len: u64) -> Result<&'a [u8], FormatError> {
        let cut = FormatError::Truncated { field: "a CBOR string" };
        let len = usize::try_from(len).map_err(|_| cut.clone())?;
        let (run, rest) = self.rest.split_at_checked(len).ok_or(cut)?;
        self.rest = rest;
        Ok(run)
    }

    fn text(&mut self, len: u64) -> Result<&'a str, FormatError> {
        let run = self.run(len)?;
        if run.len() > limits::TEXT_LEN_MAX {
            let len_max = u64::try_from(limits::TEXT_LEN_MAX).unwrap_or(u64::MAX);
            return Err(FormatError::TooLong { what: "a CBOR text", len, len_max });
        }
        std::str::from_utf8(run).map_err(|_| invalid("texts are UTF-8"))
    }

    /// An item at `depth`, counted from 1 for the outer map.
    fn item(&mut self, depth: usize) -> Result<(), FormatError> {
        let Head { major, argument } = self.head()?;
        match major {
            UNSIGNED | NEGATIVE => Ok(()),
            BYTES => self.run(argument).map(drop),
            TEXT => self.text(argument).map(drop),
            ARRAY => self.array(argument, depth),
            MAP => self.map(argument, depth),
            SIMPLE if matches!(argument, 20..=22) => Ok(()),
            _ => Err(invalid("values are integers, strings, arrays, maps, booleans and null")),
        }
    }

    fn array(&mut self, count: u64, depth: usize) -> Result<(), FormatError> {
        bound_depth(depth)?;
        (0..count).try_for_each(|_| self.item(depth.saturating_add(1)))
    }

    fn map(&mut self, count: u64, depth: usize) -> Result<(), FormatError> {
        bound_depth(depth)?;
        let mut keys = BTreeSet::new();
        for _ in 0..count {
            let Head { major: TEXT, argument } = self.head()? else {
                return Err(invalid("map keys are texts"));
            };
            let key = self.text(argument)?;
            if !keys.insert(key) {
                return Err(invalid("a map key stands twice"));
            }
            if depth == 1 && key == "v" {
                let Head { major: UNSIGNED, argument } = self.head()? else {
                    return Err(invalid("a version is a number"));
                };
                self.version = Some(argument);
            } else {
                self.item(depth.saturating_add(1))?;
            }
        }
        Ok(())
    }
}

fn bound_depth(depth: usize) -> Result<(), FormatError> {
    if depth > limits::CBOR_DEPTH_MAX {
        return Err(invalid("more than 16 levels of nesting"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"v": 1, "x": …}`
    fn with(value: &[u8]) -> Vec<u8> {
        [b"\xa2\x61v\x01\x61x", value].concat()
    }

    #[test]
    fn takes_the_allowed_forms() {
        for value in [
            &b"\x17"[..],
            b"\x18\x18",
            b"\x19\x01\x00",
            b"\x1a\x00\x01\x00\x00",
            b"\x20",
            b"\x1b\x00\x00\x00\x01\x00\x00\x00\x00",
            b"\x42ab",
            b"\x62ab",
            b"\x82\x01\x02",
            b"\xa1\x61a\x01",
            b"\xf4",
            b"\xf5",
            b"\xf6",
            b"\x80",
            b"\xa0",
        ] {
            assert_eq!(scan(&with(value)), Ok(1), "{value:02x?}");
        }
    }

    #[test]
    fn refuses_every_other_form() {
        for value in [
            &b"\x18\x17"[..],
            b"\x19\x00\xff",
            b"\x1a\x00\x00\xff\xff", // not the shortest
            b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
            b"\x58\x01a",
            b"\x5f\x41a\xff",
            b"\x7f\xff",
            b"\x9f\xff",
            b"\xbf\xff", // indefinite
            b"\xc0\x60",
            b"\xf9\x00\x00",
            b"\xf7",
            b"\xff",
            b"\xf8\x20", // tags, floats, others
            b"\xa1\x01\x01",
            b"\xa2\x61a\x01\x61a\x02",
            b"\x61\xff", // keys, duplicates, UTF-8
            b"\x43ab",
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x01\x01",
            b"", // cut, long
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(scan(&with(value)).is_err(), "{value:02x?}");
        }
        assert!(scan(b"\xa1\x61x\x01").is_err(), "no version");
        assert!(scan(b"\xa2\x61v\x01\x61v\x01").is_err(), "two versions");
        assert!(scan(b"\x81\x01").is_err(), "not a map");
    }

    #[test]
    fn refuses_more_than_16_levels() {
        let nested = |levels: usize| with(&[vec![0x81; levels], vec![0x01]].concat());
        assert_eq!(scan(&nested(15)), Ok(1));
        assert!(scan(&nested(16)).is_err());
        assert!(scan(&nested(1_000_000)).is_err());
    }

    #[test]
    fn refuses_too_many_items_and_too_long_texts() {
        let count = limits::CBOR_ITEM_COUNT_MAX;
        let many = [b"\x9a".as_slice(), &count.to_be_bytes(), &vec![0; count as usize]].concat();
        assert!(matches!(scan(&with(&many)), Err(FormatError::TooMany { .. })));
        let text = |len: u32| {
            with(&[b"\x7a".as_slice(), &len.to_be_bytes(), &vec![b'a'; len as usize]].concat())
        };
        assert_eq!(scan(&text(65536)), Ok(1));
        assert!(matches!(scan(&text(65537)), Err(FormatError::TooLong { .. })));
    }
}
