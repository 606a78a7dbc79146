//! A prune, request by request.

use super::explore::{Label, STUCK};
use super::request::{Delay, Request};
use super::rules::Slip;
use super::state::{Close, Fate, Generation, State, World};
use super::tables::{
    Bases, Chunks, Frame, Objects, PackOrigin, Packs, SegmentOrigin, Segments, Snapshots, bits,
};

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    Begin,
    Mark,
    PutRewritten,
    PutRewrittenSegment,
    Publish,
    ReadBack,
    List,
    Load,
    MergeEarly,
    Close,
    Fate,
    PutMerged,
    DeleteMerged,
    Delete,
    Done,
}

#[derive(Clone, Copy, Hash)]
pub struct Prune {
    pub step: Step,
    pub rounds: u8,
    /// The generation it works on.
    pub number: usize,
    /// The condemned packs, later those given up.
    pub packs: Packs,
    pub valid: Snapshots,
    pub objects: Objects,
    /// The snapshots to rescue for.
    pub rescue_for: Snapshots,
    /// The segments loaded, which it may merge.
    pub loaded: Segments,
    pub sequence: u8,
    pub rewritten: Packs,
    /// The deleted packs of earlier closes that stay in the cumulative set.
    pub deleted_before: Packs,
    /// The snapshots that its mark counted, while it may skip them in the rescue.
    pub counted: Snapshots,
    /// The bad packs that it knew when it began.
    pub bad_known: Packs,
    /// The first page of a listing of the segments.
    pub page: Option<Segments>,
}

impl Prune {
    pub fn new(rounds: u8) -> Self {
        Self {
            step: Step::Begin,
            rounds,
            number: 0,
            packs: 0,
            valid: 0,
            objects: 0,
            rescue_for: 0,
            loaded: Segments::default(),
            sequence: 0,
            rewritten: 0,
            deleted_before: 0,
            counted: 0,
            bad_known: 0,
            page: None,
        }
    }

    /// This prune in another step, with nothing carried along but what later steps need.
    pub fn to(&self, step: Step) -> Self {
        let (number, sequence, bad_known) = (self.number, self.sequence, self.bad_known);
        Self { step, number, sequence, bad_known, ..Self::new(self.rounds) }
    }

    fn gave_up(&self) -> Self {
        Self::new(0).to(Step::Done)
    }

    pub fn again(&self) -> Self {
        Self { number: 0, rounds: self.rounds.saturating_sub(1), ..self.to(Step::Begin) }
    }
}

/// Where the steps of one prune go.
pub struct Out<'a> {
    state: &'a State,
    pub index: usize,
    into: &'a mut Vec<(Label, State)>,
}

impl Out<'_> {
    pub fn put(&mut self, step: &'static str, note: &'static str, next: Prune) -> &mut State {
        let mut after = self.state.clone();
        after.prunes[self.index] = next;
        self.into.push((Label { who: "P", number: self.index, step, note }, after));
        &mut self.into.last_mut().unwrap().1
    }
}

impl World {
    pub fn step_prune(&self, state: &State, index: usize, into: &mut Vec<(Label, State)>) {
        let prune = state.prunes[index];
        let n = state.highest();
        let out = &mut Out { state, index, into };
        match prune.step {
            Step::Begin => self.begin(state, &prune, out),
            Step::Mark if prune.number != n || state.is_open() => {
                out.put("mark", "again", Prune { number: 0, ..prune.to(Step::Begin) });
            }
            Step::Mark if self.case.paged && prune.page.is_none() => {
                let valid = self.live(state, prune.number);
                out.put("list", "half", Prune { valid, page: Some(state.segments), ..prune });
            }
            Step::Load if self.case.paged && prune.page.is_none() => {
                out.put("list", "half", Prune { page: Some(state.segments), ..prune });
            }
            Step::Mark => {
                let first = self.case.paged && !self.slips(Slip::ListSnapshotsLast);
                let live = if first { prune.valid } else { self.live(state, prune.number) };
                for segments in self.listings(state, prune.page) {
                    self.mark(state, &prune, live, &segments, out);
                }
            }
            Step::PutRewritten => {
                let next = Prune { step: Step::PutRewrittenSegment, ..prune };
                out.put("rewrite", "", next).packs |= prune.rewritten;
            }
            Step::PutRewrittenSegment => {
                let after =
                    out.put("segment", "", Prune { step: Step::Publish, rewritten: 0, ..prune });
                let origin = SegmentOrigin::Rewritten { prune: index, sequence: prune.sequence };
                let segment = self.tables.segment(origin, prune.rewritten);
                after.segments = after.segments.with(segment);
            }
            Step::Publish => self.publish(state, &prune, out),
            Step::ReadBack => {
                let own = n >= prune.number
                    && state.generations[prune.number - 1].condemned == prune.packs;
                let believed = n >= prune.number && self.slips(Slip::ExistsMeansOwn);
                let found = own || believed;
                let next = if found {
                    Prune { step: Step::List, counted: self.may_skip(&prune), ..prune }
                } else {
                    prune.again()
                };
                out.put("read-back", "", next);
            }
            Step::List => self.list(state, &prune, out),
            Step::Load => {
                for loaded in self.listings(state, prune.page) {
                    self.load(state, &Prune { loaded, page: None, ..prune }, out);
                }
            }
            Step::MergeEarly => {
                let after = out.put("merge-early", "", Prune { step: Step::Close, ..prune });
                let deleted = prune.deleted_before | prune.packs;
                after.segments = after.segments.without(&prune.loaded);
                if let Some(merged) = self.merged(index, &prune, deleted) {
                    after.segments = after.segments.with(merged);
                }
            }
            Step::Close => self.close(state, &prune, out),
            Step::Fate => self.decide(state, &prune, out),
            Step::PutMerged => self.put_merged(state, &prune, out),
            Step::DeleteMerged => self.delete_merged(state, &prune, out),
            Step::Delete => self.delete(state, &prune, out),
            Step::Done => {}
        }
    }

    fn begin(&self, state: &State, prune: &Prune, out: &mut Out<'_>) {
        let n = state.highest();
        let prune = Prune { number: n, ..*prune };
        let bad_known = if self.slips(Slip::NoBadReload) { state.bad } else { 0 };
        if state.is_open() {
            let packs = state.generations[n - 1].condemned;
            out.put("begin", "finishes", Prune { packs, bad_known, ..prune.to(Step::List) });
        } else if self.fate_is_open(state) && !self.slips(Slip::MarkBeforeFate) {
            out.put("begin", "decides", prune.to(Step::Fate));
        } else if prune.rounds > 0 && n < self.case.generation_count_max {
            out.put("begin", "", Prune { bad_known, ..prune.to(Step::Mark) });
        }
    }

    /// Prune counts a copy only if its pack is in a listing of the store.
    fn there(&self, state: &State) -> Packs {
        if self.slips(Slip::MarkWithoutListing) { !0 } else { state.packs }
    }

    /// The deleted packs of generation `number`, less those that the next one returns.
    fn given_up(&self, state: &State, number: usize) -> Packs {
        state.deleted(number) & !self.returned(state, number).0
    }

    /// Every smallest part of `choice` that gives back `needed` with `safe`. A copy in a bad pack is taken
    /// only where there is no other.
    fn choices(
        &self,
        safe: Packs,
        choice: Packs,
        needed: Chunks,
        bases: Bases,
        bad: Packs,
    ) -> Vec<Packs> {
        if bad == 0 || self.slips(Slip::CountBadCopies) {
            return self.tables.smallest(safe, choice, needed, bases);
        }
        let good = self.tables.resolve((safe | choice) & !bad, bases);
        let good = self.tables.smallest(safe & !bad, choice & !bad, needed & good, bases);
        let with_bad = |good: Packs| {
            let more = self.tables.smallest(safe | good, choice & !good, needed, bases);
            more.into_iter().map(move |more| good | more)
        };
        good.into_iter().flat_map(with_bad).collect()
    }

    /// The snapshots that a mark in generation `number` begins at. They are listed before the segments,
    /// so that what they need is named by then.
    fn live(&self, state: &State, number: usize) -> Snapshots {
        let (_, returned) = self.returned(state, number);
        self.without_checkpoints(self.listed(state) | (returned & !state.forgotten))
    }

    /// Chooses what is garbage. Every smallest choice of copies is tried.
    fn mark(
        &self,
        state: &State,
        prune: &Prune,
        live: Snapshots,
        segments: &Segments,
        out: &mut Out<'_>,
    ) {
        let deleted = self.given_up(state, prune.number);
        let copies = self.tables.named(segments) & !deleted & self.there(state);
        let choices = self.choices(0, copies, self.chunks(live), self.bases(), state.bad);
        if choices.is_empty() {
            out.put("mark", STUCK, prune.gave_up());
        }
        let undone = state.fate(prune.number) == Some(Fate::Undo);
        for mut keep in choices {
            let sequence = prune.sequence + 1;
            let rewritten = if self.case.rewrites {
                self.rewrite(out.index, prune.sequence, live, &mut keep)
            } else {
                0
            };
            let packs = state.packs & !keep & !deleted;
            let number = prune.number + 1;
            let next = Prune { number, packs, valid: live, sequence, ..prune.to(Step::Publish) };
            if packs != 0 && rewritten != 0 {
                out.put("mark", "", Prune { step: Step::PutRewritten, rewritten, ..next });
            } else if packs != 0 || state.segments.count() > 1 || undone {
                out.put("mark", "", next);
            }
        }
    }

    /// Takes every pack with a frame that nobody needs out of `keep`, and returns what takes its place.
    fn rewrite(&self, index: usize, sequence: u8, live: Snapshots, keep: &mut Packs) -> Packs {
        let live = self.chunks(live);
        let kept: Vec<_> = bits(*keep).map(|pack| (pack, self.tables.frames(pack))).collect();
        let used = kept.iter().flat_map(|(_, frames)| frames).filter(|it| it.chunks & live != 0);
        let wanted = used.fold(live, |all, frame| all | frame.bases);
        let mut rewritten = 0;
        for (pack, frames) in &kept {
            let wanted = |frame: &&Frame| frame.chunks & wanted != 0;
            let left: Vec<Frame> = frames.iter().filter(wanted).copied().collect();
            if left.len() < frames.len() {
                let origin = PackOrigin::Rewritten { prune: index, sequence, from: *pack };
                rewritten |= 1 << self.tables.pack(origin, left);
                *keep &= !(1 << pack);
            }
        }
        rewritten
    }

    fn publish(&self, state: &State, prune: &Prune, out: &mut Out<'_>) {
        let next = |step| Prune { step, ..*prune };
        let own = Prune { counted: self.may_skip(prune), ..next(Step::List) };
        let generation = Generation { condemned: prune.packs, close: None, fate: None };
        let free = state.highest() < prune.number;
        if free && self.case.lost_replies {
            let after = out.put("publish", "reply lost", next(Step::ReadBack));
            after.generations.push(generation.clone());
        }
        if free && self.may_be_delayed(state, Delay::Generation) {
            let after = out.put("publish", "no reply", next(Step::ReadBack));
            after.delay(Request::Generation(prune.number, prune.packs));
        }
        if free {
            out.put("publish", "", own).generations.push(generation);
        } else if self.slips(Slip::ExistsMeansOwn) {
            out.put("publish", "exists", own);
        } else {
            out.put("publish", "lost race", prune.again());
        }
        if self.slips(Slip::LostReplyIsSuccess) {
            out.put("publish", "believed", next(Step::Delete));
        }
    }

    /// The snapshots that a prune need not rescue for, once the generation is known to be of its mark.
    fn may_skip(&self, prune: &Prune) -> Snapshots {
        if self.case.skips_counted { prune.valid } else { 0 }
    }

    /// Lists the snapshots of the generation before, now that no backup can miss this one.
    fn list(&self, state: &State, prune: &Prune, out: &mut Out<'_>) {
        if state.close(prune.number).is_some() {
            out.put("list", "closed", prune.to(self.after_close_of_another()));
            return;
        }
        let before = prune.number - 1;
        let (_, returned) = self.returned(state, before);
        let listed = (state.valid(before) | state.folders[before] | returned) & !state.forgotten;
        let valid = self.without_checkpoints(listed);
        let new = if self.slips(Slip::RescueForNewOnly) { state.folders[before] } else { !0 };
        let rescue_for = valid & new & !prune.counted;
        let packs = prune.packs;
        let objects = self.objects(state, before, valid);
        let next = Prune { packs, valid, objects, rescue_for, ..prune.to(Step::Load) };
        if self.slips(Slip::NoReload) {
            let at_start = 0..self.case.packs.len();
            let loaded = at_start.fold(Segments::default(), Segments::with).both(&state.segments);
            self.load(state, &Prune { loaded, ..next }, out);
        } else {
            out.put("list", "", next);
        }
    }

    /// With the segments loaded again, takes out of the condemned what the valid snapshots need. Every
    /// smallest rescue is tried.
    fn load(&self, state: &State, prune: &Prune, out: &mut Out<'_>) {
        if state.close(prune.number).is_some() {
            out.put("load", "closed", prune.to(self.after_close_of_another()));
            return;
        }
        let named = self.tables.named(&prune.loaded);
        let before = self.given_up(state, prune.number - 1);
        let copies = named & !before & self.there(state);
        let safe = copies & !prune.packs;
        let needed = self.chunks(prune.rescue_for);
        let bases =
            if self.slips(Slip::RescueWithoutBases) { Bases::NotNeeded } else { self.bases() };
        let bad = if self.slips(Slip::NoBadReload) { prune.bad_known } else { state.bad };
        let mut choices = self.choices(safe, copies & !safe, needed, bases, bad);
        if self.slips(Slip::NoRescue) {
            choices = vec![0];
        }
        if choices.is_empty() {
            if !self.slips(Slip::NoReload) && !self.slips(Slip::GoOnUnresolved) {
                out.put("load", STUCK, prune.gave_up());
                return;
            }
            let known = needed & self.tables.resolve(copies, Bases::AllFull);
            choices = self.tables.smallest(safe, copies & !safe, known, bases);
        }
        // A deleted pack leaves the cumulative set when no segment names it and it is gone.
        let stored = if self.slips(Slip::LeaveWhileStored) { 0 } else { state.packs };
        let deleted_before = before & (stored | named);
        let early = self.slips(Slip::MergeBeforeClose);
        for rescued in choices {
            let packs = prune.packs & !rescued;
            let step = if early { Step::MergeEarly } else { Step::Close };
            let Prune { valid, objects, loaded, .. } = *prune;
            let next = Prune { packs, valid, objects, loaded, deleted_before, ..prune.to(step) };
            out.put("rescue", "", next);
        }
    }

    fn close(&self, state: &State, prune: &Prune, out: &mut Out<'_>) {
        let step = self.after_close();
        let next = Prune { packs: prune.packs, loaded: prune.loaded, ..prune.to(step) };
        if let Some(close) = state.close(prune.number) {
            let own_choice = self.slips(Slip::DeleteOwnChoice);
            let packs = if own_choice { prune.packs } else { close.own };
            out.put("close", "adopts", Prune { packs, ..next });
            return;
        }
        let at = prune.number - 1;
        let deleted = prune.deleted_before | prune.packs;
        let close = Close { valid: prune.valid, objects: prune.objects, deleted, own: prune.packs };
        out.put("close", "", next).generations[at].close = Some(close);
        if self.case.lost_replies {
            out.put("close", "reply lost", *prune).generations[at].close = Some(close);
        }
        if self.may_be_delayed(state, Delay::Close) {
            let request = Request::Close(prune.number, close);
            out.put("close", "no reply", *prune).delay(request);
            let packs = state.generations[at].condemned;
            let anew = Prune { packs, ..prune.to(Step::List) };
            out.put("close", "no reply, lists again", anew).delay(request);
        }
    }
}
