//! What a prune does once its generation is closed: fate, merging, deletion.

use super::prune::{Out, Prune, Step};
use super::request::{Delay, Request};
use super::rules::Slip;
use super::state::{Fate, State, World};
use super::tables::{Packs, SegmentOrigin, Segments, bits};

impl World {
    pub fn after_close(&self) -> Step {
        let later = !self.case.fates || self.slips(Slip::MergeBeforeFate);
        if later { Step::PutMerged } else { Step::Fate }
    }

    /// Where a prune goes on that finds its generation closed by another: there is nothing it may merge.
    pub fn after_close_of_another(&self) -> Step {
        if self.case.fates { Step::Fate } else { Step::Delete }
    }

    fn after_merging(&self) -> Step {
        let late = self.case.fates && self.slips(Slip::MergeBeforeFate);
        if late { Step::Fate } else { Step::Delete }
    }

    /// True if the highest generation is closed and nobody has decided whether its packs go.
    pub fn fate_is_open(&self, state: &State) -> bool {
        let n = state.highest();
        self.case.fates && n > 0 && state.close(n).is_some() && state.fate(n).is_none()
    }

    /// Puts the fate, or finds the one that was put first. How long a prune holds back before it does
    /// is not told: any other step may come between.
    pub fn decide(&self, state: &State, prune: &Prune, out: &mut Out<'_>) {
        let merged = self.slips(Slip::MergeBeforeFate);
        let step = if merged { Step::Delete } else { Step::PutMerged };
        let next = Prune { packs: prune.packs, loaded: prune.loaded, ..prune.to(step) };
        match state.fate(prune.number) {
            Some(Fate::Undo) if !self.slips(Slip::DeleteWithoutFate) => {
                out.put("fate", "undone", prune.again());
            }
            Some(_) => {
                out.put("fate", "adopts", next);
            }
            None => {
                let at = prune.number - 1;
                out.put("fate", "", next).generations[at].fate = Some(Fate::Delete);
                if self.may_be_delayed(state, Delay::Fate) {
                    let request = Request::Fate(prune.number, Fate::Delete);
                    out.put("fate", "no reply", *prune).delay(request);
                }
            }
        }
    }

    /// The segment that takes the place of those loaded, which may be gone by now: what they said was
    /// read when they were loaded.
    pub fn merged(&self, index: usize, prune: &Prune, deleted: Packs) -> Option<usize> {
        let packs = self.tables.named(&prune.loaded) & !deleted;
        let (sequence, generation) = (prune.sequence, prune.number);
        let origin = SegmentOrigin::Merged { prune: index, sequence, generation };
        (packs != 0).then(|| self.tables.segment(origin, packs))
    }

    pub fn put_merged(&self, state: &State, prune: &Prune, out: &mut Out<'_>) {
        let deleted = state.deleted(prune.number);
        let names_deleted = self.tables.named(&prune.loaded) & deleted != 0;
        if prune.loaded.count() < 2 && !names_deleted {
            let next = Prune { packs: prune.packs, ..prune.to(self.after_merging()) };
            out.put("merge", "nothing", next);
            return;
        }
        let all = self.slips(Slip::DeleteAllSegments);
        let loaded = if all { state.segments } else { prune.loaded };
        let next = Prune { packs: prune.packs, loaded, ..prune.to(Step::DeleteMerged) };
        let merged = self.merged(out.index, prune, deleted);
        if let Some(segment) = merged.filter(|_| self.may_be_delayed(state, Delay::Segment)) {
            out.put("merge", "no reply", *prune).delay(Request::Segment(segment));
        }
        let after = out.put("merge", "", next);
        if let Some(merged) = merged {
            after.segments = after.segments.with(merged);
        }
    }

    pub fn delete_merged(&self, state: &State, prune: &Prune, out: &mut Out<'_>) {
        let next = Prune { packs: prune.packs, ..prune.to(self.after_merging()) };
        let left = prune.loaded.both(&state.segments);
        if !self.case.piecewise || left.count() < 2 {
            let after = out.put("delete-merged", "", next);
            after.segments = after.segments.without(&prune.loaded);
            return;
        }
        for segment in left.iter() {
            let after = out.put("delete-merged", "one", *prune);
            after.segments = after.segments.without(&Segments::default().with(segment));
        }
    }

    /// Deletes what the close gave up: all at once unless deletes are to be piecewise.
    pub fn delete(&self, state: &State, prune: &Prune, out: &mut Out<'_>) {
        let own_choice = self.slips(Slip::LostReplyIsSuccess) || self.slips(Slip::DeleteOwnChoice);
        let close = state.close(prune.number);
        let packs = if own_choice { prune.packs } else { close.map_or(0, |it| it.own) };
        let gone = state.forgotten & !close.map_or(0, |it| it.valid);
        if self.case.piecewise {
            for pack in bits(packs & state.packs) {
                out.put("delete", "a pack", *prune).packs &= !(1 << pack);
            }
            for folder in 0..prune.number {
                for sid in bits(state.folders[folder] & gone) {
                    out.put("delete", "a snapshot", *prune).folders[folder] &= !(1 << sid);
                }
            }
        }
        let folders_clean = state.folders[..prune.number].iter().all(|it| it & gone == 0);
        if !self.case.piecewise || (packs & state.packs == 0 && folders_clean) {
            let after = out.put("delete", "", prune.again());
            after.packs &= !packs;
            for folder in &mut after.folders[..prune.number] {
                *folder &= !gone;
            }
        }
    }
}
