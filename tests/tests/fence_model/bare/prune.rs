//! A prune, request by request.

use super::super::explore::Label;
use super::{
    Bare, Close, GENERATION_COUNT_MAX, Generation, Packs, Slip, Snapshots, State, copies_of, copy,
};

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Begin,
    Mark,
    Publish,
    List,
    Rescue,
    DeleteEarly,
    Close,
    Delete,
    Done,
}

#[derive(Clone, Copy, Hash)]
pub struct Prune {
    step: Step,
    rounds: u8,
    /// The generation it works on.
    number: usize,
    /// The condemned packs, later those that it deletes.
    packs: Packs,
    valid: Snapshots,
}

impl Prune {
    pub fn new(rounds: u8) -> Self {
        Self { step: Step::Begin, rounds, number: 0, packs: 0, valid: 0 }
    }

    fn to(self, step: Step) -> Self {
        Self { step, ..self }
    }

    /// What comes after a round.
    fn again(self) -> Self {
        Self::new(self.rounds.saturating_sub(1))
    }
}

/// Where the steps of one prune go.
struct Out<'a> {
    state: &'a State,
    index: usize,
    into: &'a mut Vec<(Label, State)>,
}

impl Out<'_> {
    fn put(&mut self, step: &'static str, next: Prune) -> &mut State {
        let mut after = self.state.clone();
        after.prunes[self.index] = next;
        self.into.push((Label { who: "P", number: self.index, step, note: "" }, after));
        &mut self.into.last_mut().unwrap().1
    }
}

impl Bare {
    pub fn step_prune(&self, state: &State, index: usize, into: &mut Vec<(Label, State)>) {
        let prune = state.prunes[index];
        let n = state.generations.len();
        let out = &mut Out { state, index, into };
        match prune.step {
            Step::Begin => match state.generations.last() {
                Some(Generation { condemned, close: None }) => {
                    let next = Prune { number: n, packs: *condemned, ..prune.to(Step::List) };
                    out.put("begin", next);
                }
                _ if prune.rounds > 0 && n < GENERATION_COUNT_MAX => {
                    out.put("begin", Prune { number: n, ..prune.to(Step::Mark) });
                }
                _ => {}
            },
            Step::Mark => {
                out.put("mark", self.mark(state, &prune));
            }
            Step::Publish => self.publish(state, prune, out),
            Step::List => self.list(state, prune, out),
            Step::Rescue => {
                let early = self.slips(Slip::DeleteBeforeClose);
                let step = if early { Step::DeleteEarly } else { Step::Close };
                let packs = prune.packs & !self.rescued(state, &prune);
                out.put("rescue", Prune { packs, ..prune.to(step) });
            }
            Step::Close => {
                let at = prune.number - 1;
                let close = state.generations[at].close;
                let close = close.filter(|_| !self.slips(Slip::OverwriteClose));
                let own = Close { valid: prune.valid, deleted: prune.packs };
                let made = close.unwrap_or(own);
                let next = Prune { packs: made.deleted, valid: 0, ..prune.to(Step::Delete) };
                out.put("close", next).generations[at].close = Some(made);
            }
            Step::DeleteEarly | Step::Delete => Self::delete(state, prune, out),
            Step::Done => {}
        }
    }

    fn publish(&self, state: &State, prune: Prune, out: &mut Out<'_>) {
        let n = state.generations.len();
        let at = prune.number - 1;
        if n < prune.number {
            let early = self.slips(Slip::ListBeforePut);
            let next = prune.to(if early { Step::Rescue } else { Step::List });
            let generation = Generation { condemned: prune.packs, close: None };
            out.put("publish", next).generations.push(generation);
        } else if self.slips(Slip::OverwriteGeneration)
            && n == prune.number
            && state.generations[at].close.is_none()
        {
            out.put("publish", prune.to(Step::List)).generations[at].condemned = prune.packs;
        } else {
            out.put("publish", prune.again());
        }
    }

    fn list(&self, state: &State, prune: Prune, out: &mut Out<'_>) {
        match state.generations[prune.number - 1].close {
            Some(close) if !self.slips(Slip::OverwriteClose) => {
                out.put("list", Prune { packs: close.deleted, ..prune.to(Step::Delete) });
            }
            _ => {
                let before = prune.number - 1;
                let valid = (state.valid(before) | state.folders[before]) & !state.forgotten;
                out.put("list", Prune { valid, ..prune.to(Step::Rescue) });
            }
        }
    }

    fn delete(state: &State, prune: Prune, out: &mut Out<'_>) {
        let there = copies_of(state.copies).filter(|(pack, _)| prune.packs >> pack & 1 == 1);
        let there: Vec<_> = there.collect();
        for &(pack, chunk) in &there {
            out.put("delete", prune).copies &= !copy(pack, chunk);
        }
        if there.is_empty() {
            let early = prune.step == Step::DeleteEarly;
            out.put("delete", if early { prune.to(Step::Close) } else { prune.again() });
        }
    }

    /// Marks from the valid snapshots of the generation that was the highest when it began.
    fn mark(&self, state: &State, prune: &Prune) -> Prune {
        let folders = state.folders[prune.number..].iter().fold(0, |all, folder| all | folder);
        let live = (state.valid(prune.number) | folders) & !state.forgotten;
        let deleted = state.deleted();
        let needed = Self::snapshots(live).flat_map(|sid| self.needs(sid));
        let keep = needed.fold(0, |keep, &chunk| keep | state.first_with(chunk, deleted));
        let stored = copies_of(state.copies).fold(0, |all: Packs, (pack, _)| all | 1 << pack);
        let packs = stored & !keep & !deleted;
        if packs == 0 {
            return Prune { step: Step::Done, ..Prune::new(0) };
        }
        let valid = if self.slips(Slip::ListBeforePut) { live } else { 0 };
        Prune { step: Step::Publish, number: prune.number + 1, packs, valid, ..*prune }
    }

    fn rescued(&self, state: &State, prune: &Prune) -> Packs {
        if self.slips(Slip::NoRescue) {
            return 0;
        }
        let deleted = state.deleted();
        let needed = Self::snapshots(prune.valid).flat_map(|sid| self.needs(sid));
        let lost = needed.filter(|chunk| !state.chunk_is_in(**chunk, prune.packs | deleted));
        lost.fold(0, |rescued, &chunk| rescued | state.first_with(chunk, deleted))
    }
}
