//! What is explored: who takes part in each case, and which rules it must miss.

use super::request::Delay;

/// Who takes part, and what may happen.
pub struct Case {
    pub name: &'static str,
    /// All states, so that a change of the model shows; none if there are too many.
    pub state_count: Option<usize>,
    /// Chunks that each snapshot needs, by letter.
    pub needs: &'static [&'static str],
    /// Packs at the start, each with a segment of its own: frames as (chunks, bases).
    pub packs: &'static [&'static [(&'static str, &'static str)]],
    /// Snapshots at the start, in generation 0; bit per snapshot.
    pub stored: u8,
    /// Snapshots that each backup puts in turn; all but the last are checkpoints.
    pub backups: &'static [&'static [usize]],
    /// (snapshot, chunk, bases): how the backup of that snapshot stores that chunk if it has to.
    pub bases: &'static [(usize, &'static str, &'static str)],
    /// (snapshot, parent) whose references the backup may take over.
    pub parents: &'static [(usize, usize)],
    /// Generations that each prune tries to make.
    pub prunes: &'static [u8],
    pub may_be_forgotten: u8,
    pub may_be_undone: u8,
    /// (checkpoint, snapshot of the same run that supersedes it).
    pub checkpoints: &'static [(usize, usize)],
    /// Packs with a frame that nobody needs are rewritten.
    pub rewrites: bool,
    pub generation_count_max: usize,
    /// The reply to a create may be lost.
    pub lost_replies: bool,
    /// An acknowledgement needs a close that lists the very object. Else one that lists the run is enough,
    /// which is bolder and safe as long as all that a pack holds stays good.
    pub tells_objects_apart: bool,
    /// Objects are deleted one at a time.
    pub piecewise: bool,
    /// A listing of segments takes two requests.
    pub paged: bool,
    /// A fate is put before packs are deleted.
    pub fates: bool,
    /// The snapshot whose forget an operator undoes, with `prune --undo` if need be.
    pub undoes: Option<usize>,
    /// Creates of these kinds may get no reply and take effect later; one of them does.
    pub delays: &'static [Delay],
    /// Prune skips in the rescue what its mark has counted.
    pub skips_counted: bool,
    /// Bit per pack at the start.
    pub may_turn_bad: u64,
    /// (snapshot, other): what the snapshot is if its source had to be read again after a change.
    pub becomes: Option<(usize, usize)>,
    /// (snapshot, other): what it is if absent chunks alone were read again.
    pub patched: Option<(usize, usize)>,
    /// Snapshots that mix two states of one file.
    pub torn: u8,
}

pub const PLAIN: Case = Case {
    name: "",
    state_count: None,
    needs: &[],
    packs: &[],
    stored: 1,
    backups: &[],
    bases: &[],
    parents: &[],
    prunes: &[1, 1],
    may_be_forgotten: 1,
    may_be_undone: 0,
    checkpoints: &[],
    rewrites: false,
    generation_count_max: 2,
    lost_replies: false,
    tells_objects_apart: false,
    piecewise: false,
    paged: false,
    fates: false,
    undoes: None,
    delays: &[],
    skips_counted: false,
    may_turn_bad: 0,
    becomes: None,
    patched: None,
    torn: 0,
};

pub const A: &[(&str, &str)] = &[("a", "")];
pub const B: &[(&str, &str)] = &[("b", "")];
pub const D: &[(&str, &str)] = &[("d", "")];
pub const G: &[(&str, &str)] = &[("g", "")];
pub const B_ON_A: &[(&str, &str)] = &[("b", "a")];
const A_ON_B: &[(&str, &str)] = &[("a", "b")];

/// Differences, parents, index segments and their merging, rewritten packs, checkpoints.
pub const CASES: &[Case] = &[
    // Snapshot 1 stores b as a difference of a, whose only user may be forgotten.
    Case {
        name: "delta",
        state_count: Some(893_464),
        needs: &["a", "b"],
        packs: &[A],
        backups: &[&[1]],
        bases: &[(1, "b", "a")],
        ..PLAIN
    },
    // Two rounds; a's full copy is there as a base alone.
    Case {
        name: "delta2",
        state_count: Some(14_512),
        needs: &["a", "b", "b"],
        packs: &[A, B_ON_A],
        stored: 3,
        backups: &[&[2]],
        bases: &[(2, "b", "a")],
        prunes: &[2],
        may_be_forgotten: 3,
        ..PLAIN
    },
    // Two hosts stored each other's bases.
    Case {
        name: "cross",
        state_count: Some(809_842),
        needs: &["ab", "ab"],
        packs: &[A, B_ON_A, B, A_ON_B],
        backups: &[&[1]],
        bases: &[(1, "a", "b")],
        ..PLAIN
    },
    Case {
        name: "cross2",
        state_count: Some(83_309),
        needs: &["a", "b", "ab", "ab"],
        packs: &[A, B],
        stored: 3,
        backups: &[&[2], &[3]],
        bases: &[(2, "b", "a"), (3, "a", "b")],
        prunes: &[1],
        may_be_forgotten: 3,
        ..PLAIN
    },
    // References of snapshot 0 may be taken over; two generations, then two prunes.
    Case {
        name: "parent",
        state_count: Some(2_724),
        needs: &["a", "a"],
        packs: &[A, G],
        backups: &[&[1]],
        parents: &[(1, 0)],
        prunes: &[2],
        ..PLAIN
    },
    Case {
        name: "parentG",
        state_count: Some(327_997),
        needs: &["a", "a"],
        packs: &[A, G],
        backups: &[&[1]],
        parents: &[(1, 0)],
        ..PLAIN
    },
    Case {
        name: "parent2",
        state_count: Some(10_703),
        needs: &["a", "a", "a"],
        packs: &[A],
        backups: &[&[1], &[2]],
        parents: &[(1, 0), (2, 1)],
        prunes: &[1],
        may_be_forgotten: 3,
        ..PLAIN
    },
    // As above, and the parent's forget is undone; then with a parent that is a difference.
    Case {
        name: "parentU",
        state_count: Some(8_055),
        needs: &["a", "a"],
        packs: &[A, G],
        backups: &[&[1]],
        parents: &[(1, 0)],
        prunes: &[2],
        may_be_undone: 1,
        ..PLAIN
    },
    Case {
        name: "parentD",
        state_count: Some(2_724),
        needs: &["b", "b"],
        packs: &[A, B_ON_A, G],
        backups: &[&[1]],
        bases: &[(1, "b", "a")],
        parents: &[(1, 0)],
        prunes: &[2],
        ..PLAIN
    },
    // Segments of new packs beside a merge; packs without a segment are garbage.
    Case {
        name: "index",
        state_count: Some(158_201),
        needs: &["a", "ac", "c"],
        packs: &[A, G],
        backups: &[&[1], &[2]],
        prunes: &[1],
        ..PLAIN
    },
    Case {
        name: "index2",
        state_count: Some(2_047_401),
        needs: &["a", "ac"],
        packs: &[A, G],
        backups: &[&[1]],
        ..PLAIN
    },
    // Three generations: packs leave the cumulative set, and late segments name packs that are gone.
    Case {
        name: "leave",
        state_count: None,
        needs: &["a", "c", "c"],
        packs: &[A],
        backups: &[&[1], &[2]],
        prunes: &[3],
        generation_count_max: 3,
        ..PLAIN
    },
    Case {
        name: "leave2",
        state_count: None,
        needs: &["a", "c"],
        packs: &[A],
        backups: &[&[1]],
        prunes: &[3, 1],
        generation_count_max: 3,
        ..PLAIN
    },
    Case {
        name: "leave3",
        state_count: Some(40_758),
        needs: &["a", "c"],
        packs: &[A],
        backups: &[&[1]],
        prunes: &[3],
        generation_count_max: 3,
        ..PLAIN
    },
    // a shares its pack with garbage, and b, a difference of it, too.
    Case {
        name: "rewrite",
        state_count: Some(520_294),
        needs: &["ab", "a"],
        packs: &[&[("a", ""), ("g", "")], &[("b", "a"), ("h", "")]],
        backups: &[&[1]],
        rewrites: true,
        ..PLAIN
    },
    Case {
        name: "rewrite2",
        state_count: Some(40_320),
        needs: &["a", "a", "b"],
        packs: &[&[("a", ""), ("g", "")]],
        backups: &[&[1], &[2]],
        bases: &[(2, "b", "a")],
        prunes: &[1],
        rewrites: true,
        ..PLAIN
    },
    // 3 is a checkpoint of 1; 2 takes it as parent.
    Case {
        name: "check",
        state_count: Some(451_561),
        needs: &["a", "bc", "b", "b"],
        packs: &[A],
        backups: &[&[3, 1], &[2]],
        parents: &[(1, 3), (2, 3)],
        prunes: &[1],
        may_be_forgotten: 3,
        checkpoints: &[(3, 1)],
        ..PLAIN
    },
    // The finished run no longer needs d, its checkpoint 0 does.
    Case {
        name: "check2",
        state_count: Some(24_212),
        needs: &["bd", "b", "bd"],
        packs: &[B, D, G],
        backups: &[&[1], &[2]],
        parents: &[(2, 0)],
        prunes: &[2],
        may_be_forgotten: 0,
        checkpoints: &[(0, 1)],
        ..PLAIN
    },
];
