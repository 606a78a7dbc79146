//! A repository with index segments and differences, the processes at work on it, and its promises.

use super::backup::Backup;
use super::cases::Case;
use super::explore::{Label, Model};
use super::prune::Prune;
use super::request::Request;
use super::rules::Slip;
use super::tables::{
    Bases, Chunks, Frame, Objects, PackOrigin, Packs, SegmentOrigin, Segments, Snapshots, Tables,
    bits, subsets,
};
use super::undo::Undo;

pub const GENERATION_COUNT_MAX: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    Delete,
    Undo,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Close {
    pub valid: Snapshots,
    /// The objects of these, where the case tells those of one run apart.
    pub objects: Objects,
    /// All deleted packs that some segment may still name.
    pub deleted: Packs,
    /// Those that this close added.
    pub own: Packs,
}

#[derive(Clone, Hash)]
pub struct Generation {
    pub condemned: Packs,
    pub close: Option<Close>,
    pub fate: Option<Fate>,
}

#[derive(Clone, Hash)]
pub struct State {
    pub packs: Packs,
    pub segments: Segments,
    pub generations: Vec<Generation>,
    /// Snapshot objects of each generation.
    pub folders: [Snapshots; GENERATION_COUNT_MAX + 1],
    pub forgotten: Snapshots,
    pub acknowledged: Snapshots,
    /// Packs found bad, and recorded as such.
    pub bad: Packs,
    /// Chunks that a snapshot acknowledged since then promises from good packs.
    pub healed: Chunks,
    /// The source has changed since the backups first read it.
    pub source_changed: bool,
    /// Creates whose reply did not come, and which may yet take effect.
    pub delayed: Vec<Request>,
    pub delays_left: u8,
    pub backups: Vec<Backup>,
    pub prunes: Vec<Prune>,
    pub undo: Option<Undo>,
}

impl State {
    /// The highest generation.
    pub fn highest(&self) -> usize {
        self.generations.len()
    }

    /// The highest closed generation.
    pub fn closed(&self) -> usize {
        self.highest() - usize::from(self.is_open())
    }

    pub fn is_open(&self) -> bool {
        self.generations.last().is_some_and(|it| it.close.is_none())
    }

    pub fn close(&self, number: usize) -> Option<Close> {
        self.generations.get(number.checked_sub(1)?)?.close
    }

    pub fn valid(&self, number: usize) -> Snapshots {
        self.close(number).map_or(0, |close| close.valid)
    }

    pub fn deleted(&self, number: usize) -> Packs {
        self.close(number).map_or(0, |close| close.deleted)
    }

    pub fn fate(&self, number: usize) -> Option<Fate> {
        self.generations.get(number.checked_sub(1)?)?.fate
    }

    /// What a backup may not rely on: all deleted packs, and those condemned in the open generation.
    pub fn excluded(&self) -> Packs {
        let condemned = self.generations.get(self.closed()).map_or(0, |it| it.condemned);
        self.deleted(self.closed()) | condemned
    }

    pub fn put_anywhere(&self) -> Snapshots {
        self.folders.iter().fold(0, |all, folder| all | folder)
    }
}

/// One case with at most one rule left out, and the numbers that its packs and segments have.
pub struct World {
    pub case: &'static Case,
    pub slip: Option<Slip>,
    pub tables: Tables,
}

impl World {
    pub fn new(case: &'static Case, slip: Option<Slip>) -> Self {
        Self { case, slip, tables: Tables::new() }
    }

    pub fn slips(&self, slip: Slip) -> bool {
        self.slip == Some(slip)
    }

    /// The chunks that one of `snapshots` needs.
    pub fn chunks(&self, snapshots: Snapshots) -> Chunks {
        bits(snapshots).fold(0, |all, sid| all | chunks(self.case.needs[sid]))
    }

    /// What a reader lists.
    pub fn listed(&self, state: &State) -> Snapshots {
        let k = state.closed();
        let open = if state.is_open() { state.folders[k + 1] } else { 0 };
        let listed = if self.slips(Slip::NoFence) {
            state.put_anywhere()
        } else {
            state.valid(k) | state.folders[k] | open
        };
        listed & !state.forgotten
    }

    /// `snapshots` without checkpoints of a run that has a finished one among them.
    pub fn without_checkpoints(&self, snapshots: Snapshots) -> Snapshots {
        let superseded = self.case.checkpoints.iter().filter(|(_, run)| snapshots >> run & 1 == 1);
        superseded.fold(snapshots, |left, (checkpoint, _)| left & !(1 << checkpoint))
    }

    /// What the generation after `number` returns: its packs and the snapshots it dropped.
    pub fn returned(&self, state: &State, number: usize) -> (Packs, Snapshots) {
        if state.fate(number) != Some(Fate::Undo) {
            return (0, 0);
        }
        let packs = state.close(number).map_or(0, |close| close.own);
        let snapshots = state.valid(number - 1) | state.folders[number - 1];
        (
            if self.slips(Slip::UndoWithoutPacks) { 0 } else { packs },
            if self.slips(Slip::UndoWithoutSnapshots) { 0 } else { snapshots },
        )
    }

    /// The objects of `snapshots` that a prune lists when it closes generation `number` + 1.
    pub fn objects(&self, state: &State, number: usize, snapshots: Snapshots) -> Objects {
        if !self.case.tells_objects_apart {
            return 0;
        }
        let known = state.close(number).map_or(0, |close| close.objects);
        let put = Objects::from(state.folders[number]) << (8 * number);
        (known | put) & (Objects::from(snapshots) * 0x01_0101_0101)
    }

    /// True if the close of generation `number` lists the object of `sid` that was put in `folder`.
    pub fn lists(&self, state: &State, number: usize, folder: usize, sid: usize) -> bool {
        let close = state.close(number);
        if self.case.tells_objects_apart && !self.slips(Slip::AcknowledgeByRun) {
            return close.is_some_and(|it| it.objects >> (8 * folder + sid) & 1 == 1);
        }
        close.is_some_and(|it| it.valid >> sid & 1 == 1)
    }

    /// What a listing of the segments may give that began when there were those of `page`. One that
    /// was put or deleted meanwhile may be seen or not, since names are in no order of time.
    pub fn listings(&self, state: &State, page: Option<Segments>) -> Vec<Segments> {
        let Some(page) = page else { return vec![state.segments] };
        let certain = page.both(&state.segments);
        let uncertain: Vec<_> = page.union(&state.segments).without(&certain).iter().collect();
        let seen = |part: u64| bits(part).fold(certain, |all, bit| all.with(uncertain[bit]));
        subsets((1 << uncertain.len()) - 1).into_iter().map(seen).collect()
    }

    /// How this world resolves differences.
    pub fn bases(&self) -> Bases {
        match self.slip {
            Some(Slip::IgnoreBases) => Bases::NotNeeded,
            Some(Slip::DeltaAsBase) => Bases::AnyCopy,
            Some(Slip::FirstBaseOnly) => Bases::FirstFull,
            _ => Bases::AllFull,
        }
    }
}

/// The set that letters name.
pub fn chunks(letters: &str) -> Chunks {
    letters.bytes().fold(0, |all, letter| all | 1 << (letter - b'a'))
}

impl Model for World {
    type State = State;

    fn start(&self) -> State {
        let mut state = State {
            packs: 0,
            segments: Segments::default(),
            generations: Vec::new(),
            folders: [self.case.stored, 0, 0, 0, 0],
            forgotten: 0,
            acknowledged: self.case.stored,
            bad: 0,
            healed: 0,
            source_changed: false,
            delayed: Vec::new(),
            delays_left: u8::from(!self.case.delays.is_empty()),
            backups: vec![Backup::START; self.case.backups.len()],
            prunes: self.case.prunes.iter().map(|rounds| Prune::new(*rounds)).collect(),
            undo: self.case.undoes.map(Undo::new),
        };
        for (checkpoint, _) in self.case.checkpoints {
            state.acknowledged &= !(1 << checkpoint);
        }
        for (number, frames) in self.case.packs.iter().enumerate() {
            let frame = |it: &(&str, &str)| Frame { chunks: chunks(it.0), bases: chunks(it.1) };
            let frames = frames.iter().map(frame).collect();
            let pack = self.tables.pack(PackOrigin::Start(number), frames);
            state.packs |= 1 << pack;
            let segment = self.tables.segment(SegmentOrigin::Start(number), 1 << pack);
            state.segments = state.segments.with(segment);
        }
        state
    }

    fn steps(&self, state: &State, into: &mut Vec<(Label, State)>) {
        self.step_outside(state, into);
        self.step_delayed(state, into);
        for index in 0..state.backups.len() {
            self.step_backup(state, index, into);
        }
        for index in 0..state.prunes.len() {
            self.step_prune(state, index, into);
        }
        self.step_undo(state, into);
    }

    fn violation(&self, state: &State) -> Option<String> {
        if state.undo.is_some_and(|it| it.was_in_vain()) {
            return Some("an undone generation was not returned".to_owned());
        }
        let listed = self.listed(state);
        let promised = state.acknowledged & !state.forgotten;
        let named = self.tables.named(&state.segments);
        let resolve = |packs| self.tables.resolve(packs, Bases::AllFull);
        let found = resolve(state.packs & named);
        let good = resolve(state.packs & named & !state.bad);
        for sid in bits(promised | listed) {
            let is_promised = promised >> sid & 1 == 1;
            let needed = self.chunks(1 << sid);
            let what = if is_promised { "acknowledged" } else { "listed" };
            if needed & !found != 0 {
                let lost = needed & !resolve(state.packs) != 0;
                let how = if lost { "has lost a chunk" } else { "has a chunk in no segment" };
                return Some(format!("snapshot {sid} is {what} and {how}"));
            }
            if is_promised && needed & state.healed & !good != 0 {
                return Some(format!(
                    "snapshot {sid} is {what} and has a chunk in bad packs alone"
                ));
            }
            if is_promised && listed >> sid & 1 == 0 {
                return Some(format!("snapshot {sid} was acknowledged and is not listed"));
            }
            if self.case.torn >> sid & 1 == 1 {
                return Some(format!("snapshot {sid} is {what} and has a torn entry"));
            }
        }
        None
    }
}

impl World {
    /// What users, disks and sources do.
    fn step_outside(&self, state: &State, into: &mut Vec<(Label, State)>) {
        let mut put = |who, number, change: &dyn Fn(&mut State)| {
            let mut after = state.clone();
            change(&mut after);
            into.push((Label { who, number, step: "", note: "" }, after));
        };
        for sid in bits(self.case.may_be_forgotten & state.acknowledged & !state.forgotten) {
            put("forget", sid, &|after| after.forgotten |= 1 << sid);
        }
        for sid in bits(self.case.may_be_undone & state.forgotten) {
            put("unforget", sid, &|after| {
                after.forgotten &= !(1 << sid);
                after.acknowledged &= !(1 << sid);
            });
        }
        for pack in bits(self.case.may_turn_bad & state.packs).filter(|_| state.bad == 0) {
            put("bad", pack, &|after| after.bad |= 1 << pack);
        }
        if self.case.becomes.is_some() && !state.source_changed {
            put("change", 0, &|after| after.source_changed = true);
        }
    }
}
