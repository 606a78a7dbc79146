//! The fence alone: packs of one chunk each, found without an index, with nothing stored as a
//! difference. It is small enough to try every choice of a copy.

mod backup;
mod prune;

use backup::Backup;
use prune::Prune;

use super::explore::{Label, Model};

/// Who takes part, and what may happen. Snapshot 0 and a pack of chunk 0 are there at the start.
pub struct Case {
    pub name: &'static str,
    /// All states, so that a change of the model shows; none if there are too many.
    pub state_count: Option<usize>,
    /// Chunks that each snapshot needs.
    pub needs: &'static [&'static [u8]],
    /// Snapshots of the backups that run.
    pub backups: &'static [u8],
    /// Generations that each prune tries to make.
    pub prunes: &'static [u8],
    pub may_be_forgotten: u8,
}

/// A rule left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slip {
    /// A reader lists every snapshot object, whatever the closes say.
    NoFence,
    /// Look-ups rely on condemned and deleted packs.
    RelyOnCondemned,
    /// A second walk believes what the first one found.
    BelieveFirstWalk,
    /// A pack that is uploaded again gets its old name.
    ReuseName,
    /// The generations are looked at before the snapshot is put.
    LookBeforePut,
    /// The generations are not looked at again.
    NoLook,
    /// Prune lists the snapshots before it puts its generation.
    ListBeforePut,
    /// A prune that lost the race for a generation overwrites it.
    OverwriteGeneration,
    /// A prune that lost the race for a close overwrites it.
    OverwriteClose,
    /// Nothing is taken out of the condemned set.
    NoRescue,
    /// Packs are deleted before the close.
    DeleteBeforeClose,
}

/// The first one misses every rule.
pub const CASES: &[Case] = &[
    Case {
        name: "one backup, two prunes",
        state_count: Some(12_091),
        needs: &[&[0], &[0]],
        backups: &[1],
        prunes: &[1, 1],
        may_be_forgotten: 1,
    },
    Case {
        name: "two backups, one prune",
        state_count: Some(8_155),
        needs: &[&[0], &[0], &[0]],
        backups: &[1, 2],
        prunes: &[1],
        may_be_forgotten: 1,
    },
    Case {
        name: "three generations",
        state_count: Some(551_056),
        needs: &[&[0], &[0, 1]],
        backups: &[1],
        prunes: &[2, 1],
        may_be_forgotten: 1,
    },
    Case {
        name: "two backups, two prunes",
        state_count: Some(4_833_487),
        needs: &[&[0], &[0], &[0]],
        backups: &[1, 2],
        prunes: &[1, 1],
        may_be_forgotten: 3,
    },
];

pub const SLIPS: &[Slip] = &[
    Slip::NoFence,
    Slip::RelyOnCondemned,
    Slip::BelieveFirstWalk,
    Slip::ReuseName,
    Slip::LookBeforePut,
    Slip::NoLook,
    Slip::ListBeforePut,
    Slip::OverwriteGeneration,
    Slip::OverwriteClose,
    Slip::NoRescue,
    Slip::DeleteBeforeClose,
];

pub struct Bare {
    pub case: &'static Case,
    pub slip: Option<Slip>,
}

/// A copy is a pack and its chunk: bit `2 × pack + chunk`.
type Copies = u64;
/// Bit per pack.
type Packs = u32;
/// Bit per snapshot.
type Snapshots = u8;

const GENERATION_COUNT_MAX: usize = 3;
/// Snapshots are numbered below this.
const SNAPSHOT_COUNT_MAX: usize = 4;

#[derive(Clone, Copy, Hash)]
struct Close {
    valid: Snapshots,
    deleted: Packs,
}

#[derive(Clone, Hash)]
struct Generation {
    condemned: Packs,
    close: Option<Close>,
}

#[derive(Clone, Hash)]
pub struct State {
    copies: Copies,
    next_pack: u8,
    generations: Vec<Generation>,
    /// Snapshot objects of each generation.
    folders: [Snapshots; GENERATION_COUNT_MAX + 1],
    forgotten: Snapshots,
    acknowledged: Snapshots,
    backups: Vec<Backup>,
    prunes: Vec<Prune>,
}

fn copy(pack: u8, chunk: u8) -> Copies {
    1 << (2 * pack + chunk)
}

fn copies_of(copies: Copies) -> impl Iterator<Item = (u8, u8)> {
    (0..64u8).filter(move |bit| copies >> bit & 1 == 1).map(|bit| (bit / 2, bit % 2))
}

impl State {
    /// The condemned packs of the open generation and all deleted ones.
    fn excluded(&self) -> Packs {
        let of = |it: &Generation| it.close.map_or(it.condemned, |close| close.deleted);
        self.generations.iter().map(of).fold(0, |all, packs| all | packs)
    }

    fn deleted(&self) -> Packs {
        let closes = self.generations.iter().filter_map(|it| it.close);
        closes.fold(0, |all, close| all | close.deleted)
    }

    /// The valid set of generation `number`, which is closed or 0.
    fn valid(&self, number: usize) -> Snapshots {
        if number == 0 { 0 } else { self.generations[number - 1].close.map_or(0, |it| it.valid) }
    }

    fn put_anywhere(&self) -> Snapshots {
        self.folders.iter().fold(0, |all, folder| all | folder)
    }

    fn chunk_is_in(&self, chunk: u8, without: Packs) -> bool {
        copies_of(self.copies).any(|(pack, it)| it == chunk && without >> pack & 1 == 0)
    }

    /// The first pack of `chunk` outside `without`, as a set.
    fn first_with(&self, chunk: u8, without: Packs) -> Packs {
        let mut found = copies_of(self.copies)
            .filter(|&(pack, it)| it == chunk && without >> pack & 1 == 0)
            .map(|(pack, _)| 1 << pack);
        found.next().unwrap_or(0)
    }
}

impl Bare {
    fn slips(&self, slip: Slip) -> bool {
        self.slip == Some(slip)
    }

    fn needs(&self, sid: u8) -> &'static [u8] {
        self.case.needs[usize::from(sid)]
    }

    fn snapshots(set: Snapshots) -> impl Iterator<Item = u8> {
        (0..SNAPSHOT_COUNT_MAX as u8).filter(move |sid| set >> sid & 1 == 1)
    }

    /// What a reader lists.
    fn listed(&self, state: &State) -> Snapshots {
        let n = state.generations.len();
        let listed = if n == 0 || self.slips(Slip::NoFence) {
            state.put_anywhere()
        } else if state.generations[n - 1].close.is_some() {
            state.valid(n) | state.folders[n]
        } else {
            state.valid(n - 1) | state.folders[n - 1] | state.folders[n]
        };
        listed & !state.forgotten
    }
}

impl Model for Bare {
    type State = State;

    fn start(&self) -> State {
        State {
            copies: copy(1, 0),
            next_pack: 2,
            generations: Vec::new(),
            folders: [1, 0, 0, 0],
            forgotten: 0,
            acknowledged: 1,
            backups: self.case.backups.iter().map(|sid| Backup::new(*sid)).collect(),
            prunes: self.case.prunes.iter().map(|rounds| Prune::new(*rounds)).collect(),
        }
    }

    fn steps(&self, state: &State, into: &mut Vec<(Label, State)>) {
        for sid in
            Self::snapshots(self.case.may_be_forgotten & state.acknowledged & !state.forgotten)
        {
            let mut after = state.clone();
            after.forgotten |= 1 << sid;
            into.push((Label { who: "forget", number: sid.into(), step: "", note: "" }, after));
        }
        for index in 0..state.backups.len() {
            self.step_backup(state, index, into);
        }
        for index in 0..state.prunes.len() {
            self.step_prune(state, index, into);
        }
    }

    fn violation(&self, state: &State) -> Option<String> {
        let listed = self.listed(state);
        let promised = state.acknowledged & !state.forgotten;
        let broken = |sid: u8| self.needs(sid).iter().any(|chunk| !state.chunk_is_in(*chunk, 0));
        for sid in Self::snapshots(promised | listed) {
            let promised = promised >> sid & 1 == 1;
            if broken(sid) {
                let what = if promised { "acknowledged" } else { "listed" };
                return Some(format!("snapshot {sid} is {what} and cannot be restored"));
            }
            if promised && listed >> sid & 1 == 0 {
                return Some(format!("snapshot {sid} was acknowledged and is not listed"));
            }
        }
        None
    }
}
