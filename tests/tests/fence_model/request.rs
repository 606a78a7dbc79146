//! Creates whose reply did not come. They may take effect at any later time, or never, while the process
//! that sent them goes on.

use super::explore::Label;
use super::state::{Close, Fate, Generation, State, World};
use super::tables::{Packs, Snapshots};

/// What may be delayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delay {
    Packs,
    Segment,
    Snapshot,
    Generation,
    Close,
    Fate,
}

/// A create on its way.
#[derive(Clone, Copy, Hash)]
pub enum Request {
    Packs(Packs),
    Segment(usize),
    Snapshot(usize, Snapshots),
    Generation(usize, Packs),
    Close(usize, Close),
    Fate(usize, Fate),
}

impl World {
    pub fn may_be_delayed(&self, state: &State, delay: Delay) -> bool {
        state.delays_left > 0 && self.case.delays.contains(&delay)
    }

    /// Lets a delayed create take effect, if nothing has its name.
    pub fn step_delayed(&self, state: &State, into: &mut Vec<(Label, State)>) {
        for (number, request) in state.delayed.iter().enumerate() {
            let mut after = state.clone();
            after.delayed.remove(number);
            let step = apply(&mut after, *request);
            into.push((Label { who: "late", number, step, note: "" }, after));
        }
    }
}

fn apply(state: &mut State, request: Request) -> &'static str {
    let at = |number: usize| number - 1;
    match request {
        Request::Packs(packs) => {
            state.packs |= packs;
            "packs"
        }
        Request::Segment(segment) => {
            state.segments = state.segments.with(segment);
            "segment"
        }
        Request::Snapshot(generation, snapshots) => {
            state.folders[generation] |= snapshots;
            "snapshot"
        }
        Request::Generation(number, condemned) => {
            if state.highest() < number {
                state.generations.push(Generation { condemned, close: None, fate: None });
            }
            "generation"
        }
        Request::Close(number, close) => {
            state.generations[at(number)].close.get_or_insert(close);
            "close"
        }
        Request::Fate(number, fate) => {
            state.generations[at(number)].fate.get_or_insert(fate);
            "fate"
        }
    }
}

impl State {
    /// Sends `request` and gets no reply.
    pub fn delay(&mut self, request: Request) {
        self.delayed.push(request);
        self.delays_left -= 1;
    }
}
