//! Packs, segments and sets of them, numbered as they first appear, so that a state is a few words.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;

/// Bit per chunk: `a` is bit 0.
pub type Chunks = u8;
/// Bit per pack, by its number.
pub type Packs = u64;
/// Bit per snapshot.
pub type Snapshots = u8;
/// Bit per snapshot object: 8 bits for the snapshots put in each generation.
pub type Objects = u64;

/// Bit per segment, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Segments([u64; 4]);

impl Segments {
    pub fn with(mut self, segment: usize) -> Self {
        self.0[segment / 64] |= 1 << (segment % 64);
        self
    }

    pub fn without(self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] & !other.0[at]))
    }

    pub fn union(self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] | other.0[at]))
    }

    pub fn both(self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] & other.0[at]))
    }

    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.0;
        (0..4).flat_map(move |at| bits(words[at]).map(move |bit| 64 * at + bit))
    }
}

/// The positions of the bits of `word`.
pub fn bits(word: impl Into<u64>) -> impl Iterator<Item = usize> {
    let mut word = word.into();
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}

/// The subsets of `set`, from the empty one to all of it, smaller ones first.
pub fn subsets(set: u64) -> Vec<u64> {
    let mut found = Vec::new();
    let mut subset = 0u64;
    loop {
        found.push(subset);
        subset = subset.wrapping_sub(set) & set;
        if subset == 0 {
            break;
        }
    }
    found.sort_by_key(|subset| subset.count_ones());
    found
}

/// Chunks stored together, and the bases that all of them need; without bases a full frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    pub chunks: Chunks,
    pub bases: Chunks,
}

/// Who made a pack; with its frames, which one it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum PackOrigin {
    Start(usize),
    Uploaded { backup: usize, sequence: u8, chunk: usize },
    Rewritten { prune: usize, sequence: u8, from: usize },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum SegmentOrigin {
    Start(usize),
    Uploaded { backup: usize, sequence: u8 },
    Rewritten { prune: usize, sequence: u8 },
    Merged { prune: usize, sequence: u8, generation: usize },
}

/// Values by number, each once.
struct Numbered<T> {
    values: Vec<T>,
    numbers: HashMap<T, usize>,
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn new() -> Self {
        Self { values: Vec::new(), numbers: HashMap::new() }
    }

    fn number(&mut self, value: T, count_max: usize) -> usize {
        if let Some(number) = self.numbers.get(&value) {
            return *number;
        }
        let number = self.values.len();
        assert!(number < count_max, "more than {count_max} objects of one kind");
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }
}

/// Which difference counts as resolved.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bases {
    /// All bases have full copies: the rule.
    AllFull,
    FirstFull,
    AnyCopy,
    NotNeeded,
}

type Question = (Packs, Packs, Chunks, Bases);

pub struct Tables {
    packs: RefCell<Numbered<(PackOrigin, Vec<Frame>)>>,
    segments: RefCell<Numbered<(SegmentOrigin, Packs)>>,
    answers: RefCell<HashMap<Question, Vec<Packs>>>,
}

impl Tables {
    pub fn new() -> Self {
        Self {
            packs: RefCell::new(Numbered::new()),
            segments: RefCell::new(Numbered::new()),
            answers: RefCell::default(),
        }
    }

    pub fn pack(&self, origin: PackOrigin, frames: Vec<Frame>) -> usize {
        self.packs.borrow_mut().number((origin, frames), 64)
    }

    pub fn segment(&self, origin: SegmentOrigin, packs: Packs) -> usize {
        self.segments.borrow_mut().number((origin, packs), 256)
    }

    pub fn frames(&self, pack: usize) -> Vec<Frame> {
        self.packs.borrow().values[pack].1.clone()
    }

    /// The packs that one of `segments` names.
    pub fn named(&self, segments: &Segments) -> Packs {
        let table = self.segments.borrow();
        segments.iter().fold(0, |all, segment| all | table.values[segment].1)
    }

    fn fold_frames<T>(&self, packs: Packs, from: T, fold: impl Fn(T, &Frame) -> T) -> T {
        let table = self.packs.borrow();
        bits(packs).flat_map(|pack| table.values[pack].1.iter()).fold(from, fold)
    }

    /// Chunks with a full copy in `packs`.
    pub fn full(&self, packs: Packs) -> Chunks {
        let add = |all, frame: &Frame| if frame.bases == 0 { all | frame.chunks } else { all };
        self.fold_frames(packs, 0, add)
    }

    /// Chunks with any copy in `packs`.
    pub fn any(&self, packs: Packs) -> Chunks {
        self.fold_frames(packs, 0, |all, frame| all | frame.chunks)
    }

    /// The chunks that `packs` give back.
    pub fn resolve(&self, packs: Packs, bases: Bases) -> Chunks {
        let full = self.full(packs);
        let any = self.any(packs);
        self.fold_frames(packs, full, |all, frame| {
            let first = frame.bases & frame.bases.wrapping_neg();
            let there = match bases {
                Bases::AllFull => frame.bases & !full == 0,
                Bases::FirstFull => first & !full == 0,
                Bases::AnyCopy => frame.bases & !any == 0,
                Bases::NotNeeded => true,
            };
            if there { all | frame.chunks } else { all }
        })
    }

    /// Every smallest part of `choice` that, with `always`, gives back `needed`; none if all of it
    /// does not. The protocol takes one of these or more; the smallest are the boldest.
    pub fn smallest(
        &self,
        always: Packs,
        choice: Packs,
        needed: Chunks,
        bases: Bases,
    ) -> Vec<Packs> {
        let question = (always, choice, needed, bases);
        if let Some(answer) = self.answers.borrow().get(&question) {
            return answer.clone();
        }
        let mut found: Vec<Packs> = Vec::new();
        for part in subsets(choice) {
            let larger = found.iter().any(|smaller| smaller & !part == 0);
            if !larger && needed & !self.resolve(always | part, bases) == 0 {
                found.push(part);
            }
        }
        self.answers.borrow_mut().insert(question, found.clone());
        found
    }
}
