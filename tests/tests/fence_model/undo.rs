//! An operator who undoes a forget, request by request.

use super::explore::Label;
use super::request::{Delay, Request};
use super::rules::Slip;
use super::state::{Fate, State, World};

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Put,
    Look,
    PutFate,
    Done,
    TooLate,
    /// The fate was `undo`, and yet the next generation closed without the snapshot.
    InVain,
}

#[derive(Clone, Copy, Hash)]
pub struct Undo {
    sid: usize,
    step: Step,
    /// The generation whose fate it puts.
    number: usize,
}

impl Undo {
    pub fn was_in_vain(&self) -> bool {
        self.step == Step::InVain
    }

    pub fn new(sid: usize) -> Self {
        Self { sid, step: Step::Put, number: 0 }
    }
}

impl World {
    pub fn step_undo(&self, state: &State, into: &mut Vec<(Label, State)>) {
        let Some(undo) = state.undo else { return };
        let mut put = |step: &'static str, note, next: Undo, change: &dyn Fn(&mut State)| {
            let mut after = state.clone();
            after.undo = Some(next);
            change(&mut after);
            into.push((Label { who: "U", number: undo.sid, step, note }, after));
        };
        let to = |step| Undo { step, ..undo };
        let n = state.highest();
        match undo.step {
            Step::Put if state.forgotten >> undo.sid & 1 == 1 => {
                put("put", "", to(Step::Look), &|after| {
                    after.forgotten &= !(1 << undo.sid);
                    after.acknowledged &= !(1 << undo.sid);
                })
            }
            Step::Look => {
                let Some(found) = self.look_for_undone(state, &undo) else { return };
                let number = if found == Step::PutFate { n } else { undo.number };
                put("look", "", Undo { number, ..to(found) }, &|after| {
                    if found == Step::Done {
                        after.acknowledged |= 1 << undo.sid;
                    }
                });
            }
            Step::PutFate => {
                let number = undo.number;
                put("fate", "", to(Step::Look), &|after| {
                    after.generations[number - 1].fate.get_or_insert(Fate::Undo);
                });
                if self.may_be_delayed(state, Delay::Fate) {
                    put("fate", "no reply", to(Step::Look), &|after| {
                        after.delay(Request::Fate(number, Fate::Undo));
                    });
                }
            }
            Step::Put | Step::Done | Step::TooLate | Step::InVain => {}
        }
    }

    /// Where a look at the generations leads; nowhere while it has to wait for a prune.
    fn look_for_undone(&self, state: &State, undo: &Undo) -> Option<Step> {
        let has = |set: u8| set >> undo.sid & 1 == 1;
        let n = state.highest();
        if self.slips(Slip::UndoWithoutLook) {
            return Some(Step::Done);
        }
        if self.slips(Slip::UndoBelievesReader) && has(self.listed(state)) {
            return Some(Step::Done);
        }
        if state.is_open() {
            return None;
        }
        if has(state.valid(n)) || has(state.folders[n]) {
            return Some(Step::Done);
        }
        let dropped = n > 0 && (has(state.valid(n - 1)) || has(state.folders[n - 1]));
        match state.fate(n) {
            None if dropped && self.case.fates => Some(Step::PutFate),
            Some(Fate::Undo) if dropped => None,
            _ if state.fate(undo.number) == Some(Fate::Undo) => Some(Step::InVain),
            _ => Some(Step::TooLate),
        }
    }
}
