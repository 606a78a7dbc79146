//! Breadth-first search through every state that a model can reach, so that a violation comes with a
//! shortest trace.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Something that acts step by step, each step one request to the store.
pub trait Model {
    type State: Clone + Hash;

    fn start(&self) -> Self::State;

    /// Adds every state that one step of one process leads to.
    fn steps(&self, state: &Self::State, into: &mut Vec<(Label, Self::State)>);

    /// The promise that `state` breaks.
    fn violation(&self, state: &Self::State) -> Option<String>;
}

/// What a step was, for the trace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label {
    pub who: &'static str,
    pub number: usize,
    pub step: &'static str,
    pub note: &'static str,
}

/// The note of a step at which a process gives up since it cannot go on: safe, but nothing that an
/// undamaged repository should come to.
pub const STUCK: &str = "stuck";

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}:{}", self.who, self.number, self.step)?;
        if self.note.is_empty() { Ok(()) } else { write!(formatter, "({})", self.note) }
    }
}

/// What a search found.
pub struct Outcome {
    pub state_count: usize,
    /// False if the search ended at its bound.
    pub complete: bool,
    /// The promise broken and the trace to it.
    pub violation: Option<(String, String)>,
    /// A trace to a process that gave up.
    pub stuck: Option<String>,
}

/// States are kept as 128 bits of their hash: at a million states the chance that two of them are
/// taken for one is below 10⁻²⁶.
#[derive(Default)]
struct Fingerprint(u64, u64);

impl Fingerprint {
    fn fold(left: u64, right: u64) -> u64 {
        let product = u128::from(left) * u128::from(right);
        (product as u64) ^ ((product >> 64) as u64)
    }

    fn of(state: &impl Hash) -> u128 {
        let mut fingerprint = Self(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);
        state.hash(&mut fingerprint);
        fingerprint.write_u64(0xa409_3822_299f_31d0);
        (u128::from(fingerprint.0) << 64) | u128::from(fingerprint.1)
    }
}

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = Self::fold(self.0 ^ word, 0x9e37_79b9_7f4a_7c15).wrapping_add(self.1);
        self.1 = Self::fold(self.1.rotate_left(31) ^ word, 0xd6e8_feb8_6659_fd93) ^ word;
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(word.into());
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }
}

/// Keys of the set are fingerprints, hashed well already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    }

    fn write_u128(&mut self, word: u128) {
        self.0 = word as u64;
    }
}

/// How a state was reached: the state before it, and which of the steps from there.
struct Origin {
    before: u32,
    nth: u16,
}

fn trace<M: Model>(model: &M, origins: &[Origin], mut at: usize) -> String {
    let mut choices = Vec::new();
    while at != 0 {
        choices.push(origins[at].nth);
        at = origins[at].before as usize;
    }
    let mut state = model.start();
    let mut labels = Vec::new();
    for nth in choices.into_iter().rev() {
        let mut steps = Vec::new();
        model.steps(&state, &mut steps);
        let (label, next) = steps.swap_remove(nth.into());
        labels.push(label.to_string());
        state = next;
    }
    format!("{} steps: {}", labels.len(), labels.join(" "))
}

/// Visits states in the order of their distance from the start, at most about `state_count_max`.
pub fn explore<M: Model>(model: &M, state_count_max: usize) -> Outcome {
    let start = model.start();
    let mut seen: HashSet<u128, BuildHasherDefault<AsItIs>> = HashSet::default();
    seen.insert(Fingerprint::of(&start));
    let mut origins = vec![Origin { before: 0, nth: 0 }];
    let mut queue = VecDeque::from([(0, start)]);
    let mut steps = Vec::new();
    let mut outcome = Outcome { state_count: 1, complete: true, violation: None, stuck: None };
    while let Some((at, state)) = queue.pop_front() {
        if let Some(promise) = model.violation(&state) {
            outcome.violation = Some((promise, trace(model, &origins, at)));
            break;
        }
        if origins.len() > state_count_max {
            outcome.complete = false;
            break;
        }
        steps.clear();
        model.steps(&state, &mut steps);
        for (nth, (label, next)) in steps.drain(..).enumerate() {
            if !seen.insert(Fingerprint::of(&next)) {
                continue;
            }
            let before = u32::try_from(at).unwrap();
            origins.push(Origin { before, nth: u16::try_from(nth).unwrap() });
            let reached = origins.len() - 1;
            if label.note == STUCK && outcome.stuck.is_none() {
                outcome.stuck = Some(trace(model, &origins, reached));
            }
            queue.push_back((reached, next));
        }
    }
    outcome.state_count = origins.len();
    outcome
}
