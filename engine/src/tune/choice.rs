//! Which settings are tried, and which of them suit best: pure decisions over what was measured.

use super::{Choice, Measured, Reason};
use crate::repo::Tuning;

const LEVELS: [i32; 6] = [0, 1, 3, 6, 9, 12];
const CHUNK_AVERAGES: [u64; 5] = [16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10];
const FRAME_LENS: [u64; 3] = [1 << 20, 4 << 20, 8 << 20];

/// The slowest choice takes this many times the default's time.
pub const TIME_MAX: f64 = 2.0;
/// Bytes of index for each TiB of data that any choice may cost; more only if the default does.
pub const INDEX_BYTES_PER_TIB_MAX: u64 = 2 << 30;
/// Sizes this close, as parts of the smallest, count as equal: samples differ by as much.
pub const SIZE_MARGIN: f64 = 0.01;

/// The settings to measure: first the default, then others that differ from it in one thing.
pub(super) fn candidates() -> Vec<Tuning> {
    let default = Tuning::default();
    let levels = LEVELS.into_iter().map(|zstd_level| Tuning { zstd_level, ..default });
    let chunks =
        CHUNK_AVERAGES.into_iter().map(|tree_chunk_avg| Tuning { tree_chunk_avg, ..default });
    let frames = FRAME_LENS.into_iter().map(|frame_len| Tuning { frame_len, ..default });
    let others = levels.chain(chunks).chain(frames).filter(|tuning| *tuning != default);
    [default].into_iter().chain(others).collect()
}

/// The best of each thing taken together; none if that is among `measured`. The default comes first.
pub(super) fn combination(measured: &[Measured]) -> Option<Tuning> {
    let default = Tuning::default();
    // Those that differ from the default in nothing but what `with` takes from them.
    let best = |with: fn(Tuning, Tuning) -> Tuning| {
        let one = |it: &&Measured| with(default, it.tuning) == it.tuning;
        let of_one: Vec<Measured> = measured.iter().filter(one).copied().collect();
        of_one[choose(&of_one).index].tuning
    };
    let level = best(|it, of| Tuning { zstd_level: of.zstd_level, ..it });
    let chunk = best(|it, of| Tuning { tree_chunk_avg: of.tree_chunk_avg, ..it });
    let frame = best(|it, of| Tuning { frame_len: of.frame_len, ..it });
    let all = Tuning {
        zstd_level: level.zstd_level,
        tree_chunk_avg: chunk.tree_chunk_avg,
        frame_len: frame.frame_len,
        ..default
    };
    measured.iter().all(|it| it.tuning != all).then_some(all)
}

/// Chooses among `measured`, of which the first is the default:
///
/// 1. Fit are those that take at most [`TIME_MAX`] times the default's time, and whose index is at
///    most [`INDEX_BYTES_PER_TIB_MAX`] or no larger than the default's.
/// 2. If no fit one is smaller than the default by more than [`SIZE_MARGIN`], it is the default.
/// 3. Otherwise it is the fastest of the fit ones that are within [`SIZE_MARGIN`] of the smallest.
///
/// # Panics
/// Without a default, which is a fault of the caller.
pub(super) fn choose(measured: &[Measured]) -> Choice {
    let default = &measured[0];
    let index_max = INDEX_BYTES_PER_TIB_MAX.max(default.index_bytes_per_tib());
    let is_fit =
        |it: &Measured| it.relative_time <= TIME_MAX && it.index_bytes_per_tib() <= index_max;
    let fit = || measured.iter().enumerate().filter(|(_, it)| is_fit(it));
    let smallest = fit().map(|(_, it)| it.size()).min().unwrap_or(default.size());
    let limit = smallest as f64 * (1.0 + SIZE_MARGIN);
    if default.size() as f64 <= limit {
        return Choice { index: 0, reason: Reason::NoneIsSmaller };
    }
    let close = fit().filter(|(_, it)| it.size() as f64 <= limit);
    let fastest = close.min_by(|(_, a), (_, b)| a.relative_time.total_cmp(&b.relative_time));
    let index = fastest.map_or(0, |(index, _)| index);
    Choice { index, reason: Reason::Smaller }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Measured = Measured {
        tuning: Tuning {
            zstd_level: 3,
            frame_len: 4 << 20,
            pack_len: 32 << 20,
            tree_chunk_avg: 64 << 10,
        },
        content_bytes: 1 << 30,
        stored_bytes: 500_000_000,
        duplicate_bytes: 0,
        chunk_count: 14_000,
        seconds: 2.0,
        relative_time: 1.0,
    };

    /// Made-up results: zstd level, bytes stored, time relative to the default's.
    fn level(zstd_level: i32, stored_bytes: u64, relative_time: f64) -> Measured {
        let tuning = Tuning { zstd_level, ..DEFAULT.tuning };
        Measured { tuning, stored_bytes, relative_time, ..DEFAULT }
    }

    fn chunks(kib: u64, stored_bytes: u64, chunk_count: u64) -> Measured {
        let tuning = Tuning { tree_chunk_avg: kib << 10, ..DEFAULT.tuning };
        Measured { tuning, stored_bytes, chunk_count, ..DEFAULT }
    }

    fn frames(mib: u64, stored_bytes: u64) -> Measured {
        let tuning = Tuning { frame_len: mib << 20, ..DEFAULT.tuning };
        Measured { tuning, stored_bytes, ..DEFAULT }
    }

    /// Which of the results is chosen; 0 is the default.
    fn check(others: &[Measured], chosen: usize) {
        let all: Vec<Measured> = [DEFAULT].iter().chain(others).copied().collect();
        let choice = choose(&all);
        assert_eq!(choice.index, chosen, "{choice:?} of {all:#?}");
        let reason = if chosen == 0 { Reason::NoneIsSmaller } else { Reason::Smaller };
        assert_eq!(choice.reason, reason);
    }

    #[test]
    fn the_default_is_built_in_and_measured_first() {
        assert_eq!(DEFAULT.tuning, Tuning::default());
        let all = candidates();
        assert_eq!((all[0], all.len()), (Tuning::default(), 12));
        let twice = all.iter().enumerate().any(|(at, one)| all[..at].contains(one));
        assert!(!twice && all.iter().all(|one| one.check().is_ok()), "{all:?}");
    }

    #[test]
    fn the_smallest_is_chosen_that_takes_at_most_twice_the_time() {
        check(&[level(6, 460_000_000, 1.5), level(9, 440_000_000, 1.99)], 2);
        check(&[level(6, 460_000_000, 1.5), level(9, 440_000_000, 2.01)], 1);
        check(&[level(9, 440_000_000, 3.0), level(12, 430_000_000, 9.0)], 0);
    }

    #[test]
    fn what_saves_next_to_nothing_is_not_chosen() {
        check(&[level(6, 496_000_000, 1.2)], 0);
        check(&[level(6, 494_000_000, 1.2)], 1);
        // Incompressible: without compression it is as small and faster, and yet no reason to change.
        check(&[level(0, 500_000_000, 0.8), level(1, 500_000_000, 0.9)], 0);
    }

    #[test]
    fn of_two_of_one_size_the_faster_is_chosen() {
        check(&[level(6, 451_000_000, 1.3), level(9, 450_000_000, 1.9)], 1);
        check(&[level(9, 450_000_000, 1.9), level(6, 451_000_000, 1.3)], 2);
    }

    #[test]
    fn the_index_counts_as_size_and_is_bounded() {
        // 48 bytes each: 60,000 chunks a GiB are 2.75 GiB of index a TiB.
        check(&[chunks(16, 300_000_000, 60_000)], 0);
        check(&[chunks(16, 300_000_000, 60_000), chunks(32, 400_000_000, 28_000)], 2);
        // Bytes saved in packs are lost in the index again.
        check(&[chunks(32, 494_500_000, 40_000)], 0);
        // Tiny files have that many chunks with any average: what the default costs is allowed.
        let crowded = Measured { chunk_count: 90_000, ..DEFAULT };
        let better = Measured { chunk_count: 90_000, ..level(6, 400_000_000, 1.1) };
        let dearer = Measured { chunk_count: 90_001, ..level(9, 300_000_000, 1.1) };
        assert_eq!(choose(&[crowded, better, dearer]).index, 1);
    }

    #[test]
    fn the_best_of_each_thing_is_tried_together_unless_it_was_tried() {
        let measured = [
            DEFAULT,
            level(6, 450_000_000, 1.3),
            level(9, 440_000_000, 5.0),
            chunks(32, 480_000_000, 20_000),
            frames(1, 550_000_000),
            frames(8, 480_000_000),
        ];
        let wanted = Tuning {
            zstd_level: 6,
            tree_chunk_avg: 32 << 10,
            frame_len: 8 << 20,
            ..Tuning::default()
        };
        assert_eq!(combination(&measured), Some(wanted));
        assert_eq!(combination(&measured[..2]), None);
        assert_eq!(combination(&[DEFAULT]), None);
    }

    #[test]
    fn nothing_measured_is_no_division_by_zero() {
        let empty = Measured { content_bytes: 0, chunk_count: 0, stored_bytes: 0, ..DEFAULT };
        assert_eq!(empty.index_bytes_per_tib(), 0);
        assert_eq!(choose(&[empty]).index, 0);
    }
}
