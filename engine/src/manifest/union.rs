//! Any number of ordered streams as one.

use std::iter::Peekable;

use crate::error::Result;
use crate::model::Entry;

/// Merges streams of entries in path order. A path that several have comes once for each, those of
/// earlier streams first; errors come out where they stand.
pub struct Union<S: Iterator> {
    streams: Vec<Peekable<S>>,
}

impl<S: Iterator<Item = Result<Entry>>> Union<S> {
    /// Merges `streams`, each of which ascends.
    pub fn new(streams: impl IntoIterator<Item = S>) -> Self {
        Self { streams: streams.into_iter().map(Iterator::peekable).collect() }
    }

    /// The number of the stream that comes next.
    fn first(&mut self) -> Option<usize> {
        let mut first: Option<(usize, &Entry)> = None;
        for (number, stream) in self.streams.iter_mut().enumerate() {
            match stream.peek() {
                None => {}
                Some(Err(_)) => return Some(number),
                Some(Ok(entry)) if first.is_some_and(|(_, least)| least.path <= entry.path) => {}
                Some(Ok(entry)) => first = Some((number, entry)),
            }
        }
        first.map(|(number, _)| number)
    }
}

impl<S: Iterator<Item = Result<Entry>>> Iterator for Union<S> {
    /// An entry with the number of its stream.
    type Item = Result<(usize, Entry)>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.first()?;
        let item = self.streams.get_mut(number)?.next()?;
        Some(item.map(|entry| (number, entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};
    use crate::format::node::samples::directory;

    #[test]
    fn streams_come_out_in_path_order_with_their_numbers_and_errors() {
        let entry = |path: &str| Ok(directory(path));
        let damage = || Err(Error::new(Kind::Corrupt, "lost"));
        let streams = [
            vec![entry("a"), entry("a/b"), damage(), entry("c")],
            vec![],
            vec![entry("a"), entry("a/a"), entry("a!"), entry("d")],
        ];
        let merged: Vec<_> = Union::new(streams.map(Vec::into_iter))
            .map(|item| item.map(|(number, entry)| (number, entry.path.as_bytes().to_vec())).ok())
            .collect();
        let wanted = [
            Some((0, "a")),
            Some((2, "a")),
            Some((2, "a/a")),
            Some((0, "a/b")),
            None,
            Some((2, "a!")),
            Some((0, "c")),
            Some((2, "d")),
        ];
        let wanted = wanted.map(|it| it.map(|(number, path)| (number, path.as_bytes().to_vec())));
        assert_eq!(merged, wanted);
    }
}
