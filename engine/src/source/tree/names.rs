//! The names in one directory: packed, because there may be millions, and sorted.

use std::cmp::Ordering;
use std::ffi::CStr;

/// Names in ascending bytewise order, each with the NUL that system calls want.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// Where a name stands, without its NUL.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    len: u32,
}

impl Names {
    /// Adds a name; false if no more fit.
    pub(super) fn push(&mut self, name: &CStr) -> bool {
        let span = u32::try_from(self.bytes.len()).and_then(|start| {
            let len = u32::try_from(name.to_bytes().len())?;
            Ok(Span { start, len })
        });
        let Ok(span) = span else {
            return false;
        };
        self.bytes.extend_from_slice(name.to_bytes_with_nul());
        self.spans.push(span);
        true
    }

    /// Sorts what was pushed. A name that the filesystem listed twice stays once.
    pub(super) fn finish(&mut self) {
        let bytes = &self.bytes;
        let name = |span: &Span| &bytes[span.start as usize..][..span.len as usize];
        self.spans.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        self.spans.dedup_by(|a, b| name(a) == name(b));
        self.spans.shrink_to_fit();
        self.bytes.shrink_to_fit();
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The bytes held in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.len() + self.spans.len() * size_of::<Span>()
    }

    /// The name at a position below [`Self::len`].
    pub(super) fn get(&self, at: usize) -> &CStr {
        let span = self.spans[at];
        let bytes = &self.bytes[span.start as usize..][..span.len as usize + 1];
        // Each name was pushed with its only NUL at its end.
        CStr::from_bytes_with_nul(bytes).unwrap_or_default()
    }

    /// True if `name` is one of them.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        let (mut from, mut to) = (0, self.spans.len());
        while from < to {
            let middle = from.midpoint(to);
            match self.get(middle).to_bytes().cmp(name) {
                Ordering::Equal => return true,
                Ordering::Less => from = middle + 1,
                Ordering::Greater => to = middle,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_found() {
        let mut names = Names::default();
        for name in [c"b", c"a-b", c"a", c"\xff\x01", c"B", c"a"] {
            assert!(names.push(name));
        }
        names.finish();
        let sorted: Vec<_> = (0..names.len()).map(|at| names.get(at)).collect();
        assert_eq!(sorted, [c"B", c"a", c"a-b", c"b", c"\xff\x01"]);
        assert!(sorted.iter().all(|name| names.has(name.to_bytes())));
        assert!(!names.has(b"") && !names.has(b"a-") && !names.has(b"c"));
    }
}
