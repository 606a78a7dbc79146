//! Which packs are kept, rewritten and condemned: a pure function of what they hold.

use std::collections::HashSet;

use crate::model::{Class, PackId, PackNumber, Purpose};

/// Packs condemned by one prune at most: a generation lists them in an object of at most 64 MiB. More wait for the
/// next prune.
const CONDEMNED_COUNT_MAX: usize = 1_000_000;
/// More small packs than this, of one class and purpose, are put together.
const SMALL_COUNT_MAX: usize = 16;
/// A pack below this is small, bytes: a quarter of what a writer makes.
const SMALL_DATA_LEN: u64 = 8 << 20;
const SMALL_METADATA_LEN: u64 = 1 << 20;
/// A pack with a smaller part of garbage is never rewritten for it: percent.
const GARBAGE_MIN: u64 = 5;

/// A pack and what of it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackUse {
    pub id: PackId,
    /// None if no segment names it.
    pub number: Option<PackNumber>,
    /// Bytes of the object.
    pub pack_len: u64,
    /// Plaintext bytes of its chunks, and of those that are needed from here.
    pub plain_len: u64,
    pub live_len: u64,
    pub class: Class,
    pub purpose: Purpose,
    /// Stored so lately that a backup may be about to need it.
    pub is_young: bool,
}

impl PackUse {
    /// Stored bytes that are garbage, about.
    #[must_use]
    pub fn garbage_bytes(&self) -> u64 {
        if self.plain_len == 0 {
            return self.pack_len;
        }
        let garbage = u128::from(self.plain_len.saturating_sub(self.live_len));
        let part = u128::from(self.pack_len) * garbage / u128::from(self.plain_len);
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    fn is_small(&self) -> bool {
        let len = match self.purpose {
            Purpose::Metadata => SMALL_METADATA_LEN,
            _ => SMALL_DATA_LEN,
        };
        self.pack_len < len
    }

    /// Class S is kept or deleted whole: who prunes may not have its keys.
    fn may_be_rewritten(&self) -> bool {
        self.class == Class::Ordinary && !self.is_young && self.number.is_some()
    }
}

/// Bounds of a prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Garbage that may stay within packs, percent of all that is stored.
    pub garbage_percent_max: u64,
    /// Bytes of packs that are rewritten at most; none for no bound.
    pub rewrite_bytes_max: Option<u64>,
}

/// What is to become of the packs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackPlan {
    /// Nothing needs them.
    pub garbage: Vec<PackUse>,
    /// Their live chunks go to new packs; then nothing needs them.
    pub rewrite: Vec<PackUse>,
    /// Left for the next prune though nothing needs them: stored lately.
    pub young: Vec<PackUse>,
    pub kept_count: u64,
    /// Bytes of all packs.
    pub stored_bytes: u64,
    /// Garbage that stays within packs that are kept, bytes.
    pub garbage_kept_bytes: u64,
}

impl PackPlan {
    /// The packs that are condemned, ascending.
    #[must_use]
    pub fn condemned(&self) -> Vec<PackId> {
        let mut packs: Vec<_> =
            self.garbage.iter().chain(&self.rewrite).map(|pack| pack.id).collect();
        packs.sort_unstable();
        packs
    }

    /// Bytes that deleting gives back, about.
    #[must_use]
    pub fn freed_bytes(&self) -> u64 {
        let garbage: u64 = self.garbage.iter().map(|pack| pack.pack_len).sum();
        garbage + self.rewrite.iter().map(PackUse::garbage_bytes).sum::<u64>()
    }

    /// Bytes of packs that are rewritten.
    #[must_use]
    pub fn rewritten_bytes(&self) -> u64 {
        self.rewrite.iter().map(|pack| pack.pack_len).sum()
    }
}

/// Decides about `packs`, whatever their order.
#[must_use]
pub fn plan(mut packs: Vec<PackUse>, bounds: Bounds) -> PackPlan {
    packs.sort_unstable_by_key(|pack| pack.id);
    let mut plan = PackPlan {
        stored_bytes: packs.iter().map(|pack| pack.pack_len).sum(),
        ..PackPlan::default()
    };
    let (live, dead): (Vec<_>, Vec<_>) = packs.into_iter().partition(|pack| pack.live_len > 0);
    (plan.young, plan.garbage) = dead.into_iter().partition(|pack| pack.is_young);
    plan.garbage.truncate(CONDEMNED_COUNT_MAX);
    let mut candidates = small(&live);
    let of_small = candidates.len();
    candidates.extend(wasteful(&live, bounds, plan.stored_bytes, &candidates));
    let (mut bytes, room) = (0, CONDEMNED_COUNT_MAX - plan.garbage.len());
    let mut dropped = 0;
    for (at, pack) in candidates.into_iter().enumerate() {
        bytes += pack.pack_len;
        let fits = bounds.rewrite_bytes_max.is_none_or(|max| bytes <= max);
        if fits && plan.rewrite.len() < room {
            plan.rewrite.push(pack);
        } else {
            bytes -= pack.pack_len;
            dropped += usize::from(at < of_small);
        }
    }
    // One small pack alone would be written anew as it is.
    if dropped > 0 && plan.rewrite.len() == 1 && plan.rewrite[0].garbage_bytes() == 0 {
        plan.rewrite.clear();
    }
    plan.kept_count = (live.len() - plan.rewrite.len()) as u64;
    let garbage = |packs: &[PackUse]| packs.iter().map(PackUse::garbage_bytes).sum::<u64>();
    plan.garbage_kept_bytes = garbage(&live) - garbage(&plan.rewrite);
    plan
}

/// Small packs of kinds of which there are many.
fn small(live: &[PackUse]) -> Vec<PackUse> {
    let mut chosen = Vec::new();
    for purpose in [Purpose::Data, Purpose::Metadata] {
        let of_kind =
            |pack: &&PackUse| pack.purpose == purpose && pack.may_be_rewritten() && pack.is_small();
        let packs: Vec<PackUse> = live.iter().filter(of_kind).copied().collect();
        if packs.len() > SMALL_COUNT_MAX {
            chosen.extend(packs);
        }
    }
    chosen
}

/// Packs with the most garbage for their length, until what stays is within the bounds.
fn wasteful(
    live: &[PackUse],
    bounds: Bounds,
    stored_bytes: u64,
    chosen: &[PackUse],
) -> Vec<PackUse> {
    let chosen: HashSet<PackId> = chosen.iter().map(|pack| pack.id).collect();
    let is_new = |pack: &&PackUse| !chosen.contains(&pack.id);
    let mut left: u64 = live.iter().filter(is_new).map(PackUse::garbage_bytes).sum();
    let allowed = stored_bytes / 100 * bounds.garbage_percent_max.min(100);
    let part = |pack: &PackUse| pack.garbage_bytes().saturating_mul(1000) / pack.pack_len.max(1);
    let worth = |pack: &&PackUse| pack.may_be_rewritten() && part(pack) >= GARBAGE_MIN * 10;
    let mut packs: Vec<PackUse> = live.iter().filter(is_new).filter(worth).copied().collect();
    packs.sort_by_key(|pack| (std::cmp::Reverse(part(pack)), pack.id));
    let mut wasteful = Vec::new();
    for pack in packs {
        if left <= allowed {
            break;
        }
        left -= pack.garbage_bytes();
        wasteful.push(pack);
    }
    wasteful
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { garbage_percent_max: 5, rewrite_bytes_max: None };

    fn pack(name: u8, pack_len: u64, live_percent: u64) -> PackUse {
        PackUse {
            id: PackId([name; 32]),
            number: Some(PackNumber(name.into())),
            pack_len,
            plain_len: 1000,
            live_len: live_percent * 10,
            class: Class::Ordinary,
            purpose: Purpose::Data,
            is_young: false,
        }
    }

    fn names(packs: &[PackUse]) -> Vec<u8> {
        packs.iter().map(|pack| pack.id.0[0]).collect()
    }

    #[test]
    fn packs_that_nothing_needs_are_garbage_unless_they_are_young() {
        let young = PackUse { is_young: true, ..pack(3, 32 << 20, 0) };
        let plan = plan(vec![pack(1, 32 << 20, 100), pack(2, 32 << 20, 0), young], BOUNDS);
        assert_eq!((names(&plan.garbage), names(&plan.young)), (vec![2], vec![3]));
        assert_eq!((plan.rewrite.len(), plan.kept_count), (0, 1));
        assert_eq!(plan.freed_bytes(), 32 << 20);
    }

    #[test]
    fn the_most_wasteful_are_rewritten_until_little_garbage_stays() {
        let packs = vec![pack(1, 32 << 20, 100), pack(2, 32 << 20, 50), pack(3, 32 << 20, 90)];
        assert_eq!(names(&plan(packs.clone(), BOUNDS).rewrite), [2]);
        let all = Bounds { garbage_percent_max: 0, ..BOUNDS };
        assert_eq!(names(&plan(packs.clone(), all).rewrite), [2, 3]);
        let none = Bounds { garbage_percent_max: 100, ..BOUNDS };
        assert_eq!(names(&plan(packs.clone(), none).rewrite), [0_u8; 0]);
        let bound = Bounds { rewrite_bytes_max: Some(33 << 20), garbage_percent_max: 0 };
        assert_eq!(names(&plan(packs, bound).rewrite), [2]);
    }

    #[test]
    fn secrets_and_young_packs_are_never_rewritten() {
        let secret = PackUse { class: Class::S, ..pack(1, 32 << 20, 10) };
        let young = PackUse { is_young: true, ..pack(2, 32 << 20, 10) };
        let plan = plan(vec![secret, young], Bounds { garbage_percent_max: 0, ..BOUNDS });
        assert!(plan.rewrite.is_empty() && plan.garbage.is_empty() && plan.kept_count == 2);
    }

    #[test]
    fn a_pack_that_is_small_and_wasteful_is_rewritten_once() {
        let kinds = [(Purpose::Data, 100_u8), (Purpose::Metadata, 0)];
        let of_kind = |(purpose, first): (Purpose, u8)| {
            (0..20).map(move |name| PackUse { purpose, ..pack(first + name, 100_000, 50) })
        };
        let plan = plan(kinds.into_iter().flat_map(of_kind).collect(), BOUNDS);
        assert_eq!((plan.rewrite.len(), plan.kept_count), (40, 0));
        let condemned = plan.condemned();
        assert!(condemned.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn many_small_packs_are_put_together_and_few_are_not() {
        let packs = |count: u8| (0..count).map(|name| pack(name, 1 << 20, 100)).collect();
        assert_eq!(plan(packs(17), BOUNDS).rewrite.len(), 17);
        assert_eq!(plan(packs(16), BOUNDS).rewrite.len(), 0);
        let one = Bounds { rewrite_bytes_max: Some(1 << 20), ..BOUNDS };
        assert_eq!(plan(packs(17), one).rewrite.len(), 0);
    }
}
