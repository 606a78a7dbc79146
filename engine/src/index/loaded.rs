//! A run as part of an index: numbers of its packs, and which of them count.

use super::rows::{EntryRow, FrameRow, SEVERAL};
use super::run::Run;
use crate::model::{PackId, PackMeta, PackNumber, SegmentId};

/// The number of the pack in the first of `runs` that has it.
pub(super) fn find_pack(runs: &[Loaded], id: &PackId) -> Option<PackNumber> {
    runs.iter().find_map(|loaded| loaded.number(loaded.run.find_pack(id)?))
}

/// A run with the numbers that its packs have in the index.
#[derive(Debug)]
pub(super) struct Loaded {
    pub run: Run,
    /// The file in the cache; none if it has no name.
    pub name: Option<String>,
    /// The number of its first pack in the index.
    first: u32,
    /// Packs by their number in the run, ascending, that another run has before it (with the number
    /// there), or that no segment tells of any more. Few, or none.
    elsewhere: Vec<(u32, Option<PackNumber>)>,
    void_count: u32,
}

impl Loaded {
    /// Takes a run of which only the segments that `is_listed` count. None if it cannot be told what they
    /// have: a pack stood in several.
    pub fn new(
        run: Run,
        name: Option<String>,
        is_listed: &dyn Fn(&SegmentId) -> bool,
    ) -> Option<Self> {
        let listed: Vec<bool> = run.segments().map(|id| is_listed(&id)).collect();
        let mut elsewhere = Vec::new();
        if listed.contains(&false) {
            for number in 0..run.counts().packs {
                let segment = run.pack(number)?.segment;
                if !*listed.get(segment as usize).filter(|_| segment != SEVERAL)? {
                    elsewhere.push((number, None));
                }
            }
        }
        let void_count = u32::try_from(elsewhere.len()).ok()?;
        Some(Self { run, name, first: 0, elsewhere, void_count })
    }

    /// Gives the packs their numbers from `first` on, but those that the runs `before` have; returns the
    /// number after the last.
    pub fn set_numbers(&mut self, first: u32, before: &[Self]) -> u32 {
        self.first = first;
        self.elsewhere.retain(|(_, twin)| twin.is_none());
        if !before.is_empty() {
            let void = std::mem::take(&mut self.elsewhere);
            self.elsewhere = (0..self.run.counts().packs)
                .filter_map(|pack| {
                    if void.binary_search_by_key(&pack, |it| it.0).is_ok() {
                        return Some((pack, None));
                    }
                    let twin = find_pack(before, &self.run.pack(pack)?.meta.id)?;
                    Some((pack, Some(twin)))
                })
                .collect();
        }
        first.saturating_add(self.run.counts().packs)
    }

    /// The number in the index of a pack of this run; none if it does not count.
    pub fn number(&self, pack: u32) -> Option<PackNumber> {
        match self.elsewhere.binary_search_by_key(&pack, |it| it.0) {
            Ok(at) => self.elsewhere[at].1,
            Err(_) => Some(PackNumber(self.first.saturating_add(pack))),
        }
    }

    /// The number in the run of a pack of the index, if it is of this run.
    pub fn own(&self, number: PackNumber) -> Option<u32> {
        let pack = number.0.checked_sub(self.first)?;
        (pack < self.run.counts().packs).then_some(pack)
    }

    pub fn is_void(&self, pack: u32) -> bool {
        self.number(pack).is_none()
    }

    /// True if most of it does not count any more.
    pub fn is_mostly_void(&self) -> bool {
        self.void_count > self.run.counts().packs / 2
    }

    /// The packs that count and stand in no run before this one.
    pub fn packs(&self) -> impl Iterator<Item = (PackNumber, PackMeta)> {
        (0..self.run.counts().packs).filter_map(|pack| {
            let number = self.number(pack).filter(|number| self.own(*number) == Some(pack))?;
            Some((number, self.run.pack(pack)?.meta))
        })
    }

    /// Frame and pack of an entry. None for a pack that does not count, and for rows that contradict
    /// each other: damage of the cache, the chunk is not here.
    pub fn place(&self, entry: &EntryRow) -> Option<(PackNumber, FrameRow)> {
        let frame = self.run.frame(entry.frame)?;
        let is_here = frame.pack < self.run.counts().packs;
        Some((self.number(frame.pack).filter(|_| is_here)?, frame))
    }
}
