//! A backup, request by request.

use super::explore::Label;
use super::request::{Delay, Request};
use super::rules::Slip;
use super::state::{State, World, chunks};
use super::tables::{Bases, Chunks, Frame, PackOrigin, Packs, SegmentOrigin, Segments, bits};

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    Start,
    LookUp,
    PutPacks,
    PutSegment,
    Put,
    PutLate,
    Look,
    Done,
}

#[derive(Clone, Copy, Hash)]
pub struct Backup {
    step: Step,
    /// Which snapshot of its run it is at; all but the last are checkpoints.
    at: usize,
    /// The highest generation it read.
    read: usize,
    excluded: Packs,
    /// New packs of this walk.
    new: Packs,
    sequence: u8,
    first_walk: bool,
    /// The parent was valid when the generations were read.
    parent_valid: bool,
    /// The first page of a listing of the segments.
    page: Option<Segments>,
    /// The bad packs that it knew in its last walk.
    bad_known: Packs,
    /// The snapshot that its own became when the source was read again.
    became: Option<usize>,
}

impl Backup {
    pub const START: Self = Self {
        step: Step::Start,
        at: 0,
        read: 0,
        excluded: 0,
        new: 0,
        sequence: 0,
        first_walk: true,
        parent_valid: false,
        page: None,
        bad_known: 0,
        became: None,
    };

    const DONE: Self = Self { step: Step::Done, first_walk: false, ..Self::START };
}

/// Takes a step, its note, what the backup is after it, and what else it changes.
type Put<'a> = dyn FnMut(&'static str, &'static str, Backup, &dyn Fn(&mut State)) + 'a;

/// What one walk resolved.
struct Walk {
    new: Vec<(usize, Frame)>,
    took_over: bool,
    became: Option<usize>,
}

impl World {
    pub fn step_backup(&self, state: &State, index: usize, into: &mut Vec<(Label, State)>) {
        let backup = state.backups[index];
        let run = self.case.backups[index];
        let Some(&planned) = run.get(backup.at) else { return };
        let sid = backup.became.unwrap_or(planned);
        let mut put = |step, note, next: Backup, change: &dyn Fn(&mut State)| {
            let mut after = state.clone();
            after.backups[index] = next;
            change(&mut after);
            into.push((Label { who: "B", number: index, step, note }, after));
        };
        let to = |step| Backup { step, page: None, ..backup };
        match backup.step {
            Step::Start => put("start", "", self.start_of(state, sid), &|_| {}),
            Step::LookUp if self.case.paged && backup.page.is_none() => {
                put("list", "half", Backup { page: Some(state.segments), ..backup }, &|_| {});
            }
            Step::LookUp => {
                for segments in self.listings(state, backup.page) {
                    let walk = self.walk(state, &to(Step::LookUp), sid, &segments);
                    let next = self.after_walk(index, &to(Step::LookUp), &walk);
                    let next = Backup { bad_known: state.bad, ..next };
                    put("look-up", if walk.took_over { "takes over" } else { "" }, next, &|_| {});
                }
            }
            Step::PutPacks => {
                put("packs", "", to(Step::PutSegment), &|after| after.packs |= backup.new);
                if self.may_be_delayed(state, Delay::Packs) {
                    // They are sealed anew: after another walk they have other names.
                    let again = if self.slips(Slip::PutAgainUnderOneName) {
                        backup
                    } else {
                        Backup { new: 0, ..to(Step::LookUp) }
                    };
                    put("packs", "no reply", again, &|after| {
                        after.delay(Request::Packs(backup.new));
                    });
                }
            }
            Step::PutSegment => {
                let sequence = backup.sequence;
                let origin = SegmentOrigin::Uploaded { backup: index, sequence };
                let segment = self.tables.segment(origin, backup.new);
                put("segment", "", Backup { new: 0, ..to(Step::Put) }, &|after| {
                    if !self.slips(Slip::NoSegment) {
                        after.segments = after.segments.with(segment);
                    }
                });
                if self.may_be_delayed(state, Delay::Segment) {
                    put("segment", "no reply", backup, &|after| {
                        after.delay(Request::Segment(segment));
                    });
                }
            }
            Step::Put | Step::PutLate | Step::Look => {
                self.publish_snapshot(state, index, sid, &mut put);
            }
            Step::Done => {}
        }
    }

    fn publish_snapshot(&self, state: &State, index: usize, sid: usize, put: &mut Put<'_>) {
        let backup = state.backups[index];
        let last = backup.at + 1 == self.case.backups[index].len();
        let to = |step| Backup { step, ..backup };
        let folder = |after: &mut State| after.folders[backup.read] |= 1 << sid;
        match backup.step {
            Step::Put if last && self.slips(Slip::LookBeforePut) => {
                let unseen = state.highest() == backup.read;
                put("look", "", to(if unseen { Step::PutLate } else { Step::Look }), &|_| {});
            }
            Step::Put => {
                let next = if last {
                    to(Step::Look)
                } else {
                    Backup { at: backup.at + 1, first_walk: true, ..to(Step::LookUp) }
                };
                put("put", "", next, &folder);
                if last && self.case.lost_replies {
                    put("put", "reply lost", backup, &folder);
                }
                if last && self.may_be_delayed(state, Delay::Snapshot) {
                    put("put", "no reply", backup, &|after| {
                        after.delay(Request::Snapshot(backup.read, 1 << sid));
                    });
                }
            }
            Step::PutLate => put("put", "", Backup::DONE, &|after| {
                folder(after);
                after.acknowledged |= 1 << sid;
            }),
            _ => {
                let n = state.highest();
                let listed =
                    (backup.read + 1..=n).any(|it| self.lists(state, it, backup.read, sid));
                if n == backup.read || listed || self.slips(Slip::NoLook) {
                    put("look", "acknowledges", Backup::DONE, &|after| {
                        after.acknowledged |= 1 << sid;
                        if backup.bad_known != 0 {
                            after.healed |= self.chunks(1 << sid);
                        }
                    });
                } else {
                    let excluded = self.excluded(state);
                    let again = Backup { read: n, excluded, first_walk: false, ..to(Step::LookUp) };
                    put("look", "again", again, &|_| {});
                }
            }
        }
    }

    fn excluded(&self, state: &State) -> Packs {
        if self.slips(Slip::RelyOnCondemned) { 0 } else { state.excluded() }
    }

    fn parent(&self, sid: usize) -> Option<usize> {
        self.case.parents.iter().find(|(of, _)| *of == sid).map(|(_, parent)| *parent)
    }

    fn start_of(&self, state: &State, sid: usize) -> Backup {
        let closed = state.closed();
        let valid = self.parent(sid).is_some_and(|it| state.valid(closed) >> it & 1 == 1);
        let while_open =
            self.slips(Slip::ParentWhileOpen) || self.slips(Slip::ParentWhileOpenUnlessForgotten);
        Backup {
            step: Step::LookUp,
            read: state.highest(),
            excluded: self.excluded(state),
            parent_valid: valid && (while_open || !state.is_open()),
            ..Backup::START
        }
    }

    /// The parent whose references are taken over without look-ups.
    fn taken_over(&self, state: &State, backup: &Backup, sid: usize) -> Option<usize> {
        let parent = self.parent(sid).filter(|_| backup.first_walk)?;
        let has = |set: u8| set >> parent & 1 == 1;
        let trusted =
            backup.parent_valid || has(state.folders[backup.read]) || self.slips(Slip::AnyParent);
        let refused = self.slips(Slip::ParentWhileOpenUnlessForgotten) && has(state.forgotten);
        let unseen_damage = state.bad != 0 && !self.slips(Slip::ParentDespiteBad);
        let refused = refused || unseen_damage;
        (trusted && !refused && has(state.put_anywhere())).then_some(parent)
    }

    /// Looks every chunk up, and lists the packs found: early, when most of them are still there.
    fn walk(&self, state: &State, backup: &Backup, sid: usize, segments: &Segments) -> Walk {
        let taken_over = self.taken_over(state, backup, sid);
        let mut usable = self.tables.named(segments) & !backup.excluded;
        if !self.slips(Slip::NoPackListing) {
            usable &= state.packs;
        }
        if !self.slips(Slip::RelyOnBad) {
            usable &= !state.bad;
        }
        let bases =
            if self.slips(Slip::LookUpWithoutBases) { Bases::NotNeeded } else { self.bases() };
        let mut found: Chunks = self.tables.resolve(usable, bases);
        if self.slips(Slip::BelieveFirstWalk) && !backup.first_walk {
            found |= self.chunks(1 << sid);
        }
        found |= taken_over.map_or(0, |parent| self.chunks(1 << parent));
        let full = match self.slip {
            Some(Slip::DeltaAsBase) => self.tables.any(usable),
            _ => self.tables.full(usable),
        };
        let (became, absent) = self.read_again(state, backup, sid, found);
        let sid = became.unwrap_or(sid);
        let wanted = |chunk: usize| {
            let wish = self.case.bases.iter().find(|it| it.0 == sid && chunks(it.1) == 1 << chunk);
            wish.map_or(0, |(_, _, base)| chunks(base))
        };
        let new = bits(absent).map(|chunk| {
            let wish = wanted(chunk);
            let there = wish & !full == 0 && wish >> chunk & 1 == 0;
            (chunk, Frame { chunks: 1 << chunk, bases: if there { wish } else { 0 } })
        });
        Walk { new: new.collect(), took_over: taken_over.is_some(), became }
    }

    /// What must be uploaded. A source that has changed gives other chunks, and so another snapshot.
    fn read_again(
        &self,
        state: &State,
        backup: &Backup,
        sid: usize,
        found: Chunks,
    ) -> (Option<usize>, Chunks) {
        let absent = self.chunks(1 << sid) & !found;
        let other =
            if self.slips(Slip::PatchEntry) { self.case.patched } else { self.case.becomes };
        let other =
            other.filter(|(before, _)| *before == sid && state.source_changed && absent != 0);
        let Some((_, other)) = other else { return (backup.became, absent) };
        if self.slips(Slip::KeepLostChunk) {
            return (None, 0);
        }
        (Some(other), self.chunks(1 << other) & !found)
    }

    fn after_walk(&self, index: usize, backup: &Backup, walk: &Walk) -> Backup {
        let sequence = backup.sequence;
        let pack = |&(chunk, frame): &(usize, Frame)| {
            self.tables.pack(PackOrigin::Uploaded { backup: index, sequence, chunk }, vec![frame])
        };
        let new = walk.new.iter().fold(0, |all, it| all | 1 << pack(it));
        Backup {
            step: if new == 0 { Step::Put } else { Step::PutPacks },
            new,
            sequence: sequence + u8::from(new != 0),
            parent_valid: false,
            became: walk.became,
            ..*backup
        }
    }
}
