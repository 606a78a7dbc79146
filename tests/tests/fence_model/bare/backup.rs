//! A backup, request by request.

use super::super::explore::Label;
use super::{Bare, Copies, Packs, Slip, State, copies_of, copy};

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Start,
    LookUp,
    Upload,
    Put,
    PutLate,
    Look,
    Done,
}

#[derive(Clone, Copy, Hash)]
pub struct Backup {
    sid: u8,
    step: Step,
    /// The highest generation it read.
    read: usize,
    excluded: Packs,
    refs: Copies,
}

impl Backup {
    pub fn new(sid: u8) -> Self {
        Self { sid, step: Step::Start, read: 0, excluded: 0, refs: 0 }
    }
}

impl Bare {
    pub fn step_backup(&self, state: &State, index: usize, into: &mut Vec<(Label, State)>) {
        let backup = state.backups[index];
        let n = state.generations.len();
        let fresh = || if self.slips(Slip::RelyOnCondemned) { 0 } else { state.excluded() };
        let mut put = |step: &'static str, next: Backup, change: &dyn Fn(&mut State)| {
            let mut after = state.clone();
            after.backups[index] = next;
            change(&mut after);
            into.push((Label { who: "B", number: index, step, note: "" }, after));
        };
        let to = |step| Backup { step, ..backup };
        match backup.step {
            Step::Start => {
                let next = Backup { read: n, excluded: fresh(), ..to(Step::LookUp) };
                put("start", next, &|_| {});
            }
            Step::LookUp => {
                for refs in self.look_ups(state, &backup) {
                    put("look-up", Backup { refs, ..to(Step::Upload) }, &|_| {});
                }
            }
            Step::Upload => {
                let has = |chunk: &u8| copies_of(backup.refs).any(|(_, it)| it == *chunk);
                let Some(&chunk) = self.needs(backup.sid).iter().find(|chunk| !has(chunk)) else {
                    put("upload", to(Step::Put), &|_| {});
                    return;
                };
                let reuse = self.slips(Slip::ReuseName);
                let pack = if reuse { [1, 20][usize::from(chunk)] } else { state.next_pack };
                let refs = backup.refs | copy(pack, chunk);
                put("upload", Backup { refs, ..backup }, &|after| {
                    after.copies |= copy(pack, chunk);
                    after.next_pack += u8::from(!reuse);
                });
            }
            Step::Put if self.slips(Slip::LookBeforePut) => {
                let unseen = n == backup.read;
                let step = if unseen { Step::PutLate } else { Step::Look };
                put("look", to(step), &|_| {});
            }
            Step::Put => {
                put("put", to(Step::Look), &|after| {
                    after.folders[backup.read] |= 1 << backup.sid;
                });
            }
            Step::PutLate => {
                put("put", to(Step::Done), &|after| {
                    after.folders[backup.read] |= 1 << backup.sid;
                    after.acknowledged |= 1 << backup.sid;
                });
            }
            Step::Look => {
                let listed = (backup.read + 1..=n).any(|g| state.valid(g) >> backup.sid & 1 == 1);
                if n == backup.read || listed || self.slips(Slip::NoLook) {
                    put("look", Backup { refs: 0, ..to(Step::Done) }, &|after| {
                        after.acknowledged |= 1 << backup.sid;
                    });
                } else {
                    let next = Backup { read: n, excluded: fresh(), ..to(Step::LookUp) };
                    put("look", next, &|_| {});
                }
            }
            Step::Done => {}
        }
    }

    /// What a walk may resolve to: what it has from before, and every choice among copies of the rest.
    fn look_ups(&self, state: &State, backup: &Backup) -> Vec<Copies> {
        let usable = |&(pack, chunk): &(u8, u8)| {
            state.copies & copy(pack, chunk) != 0 && backup.excluded >> pack & 1 == 0
        };
        let mut had = copies_of(backup.refs)
            .filter(usable)
            .fold(0, |all, (pack, chunk)| all | copy(pack, chunk));
        if self.slips(Slip::BelieveFirstWalk) && backup.refs != 0 {
            had = backup.refs;
        }
        let mut choices = vec![had];
        for chunk in self.needs(backup.sid) {
            if copies_of(had).any(|(_, it)| it == *chunk) {
                continue;
            }
            let found: Vec<_> =
                copies_of(state.copies).filter(|it| it.1 == *chunk).filter(usable).collect();
            if !found.is_empty() {
                let with = |refs: &Copies| {
                    let refs = *refs;
                    found.iter().map(move |&(pack, chunk)| refs | copy(pack, chunk))
                };
                choices = choices.iter().flat_map(with).collect();
            }
        }
        choices
    }
}
