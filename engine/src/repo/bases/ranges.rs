//! Which ranges of base chunks a part of a delta chunk came from.

use std::ops::Range;

use crate::model::Base;

/// The ranges of bases that `part` of a chunk stands for. The chunk has `len` bytes and stands at
/// `offset` of a frame with `bases`, whose plaintext has `plain_len` bytes.
///
/// A frame tells which of its bases belong to which of its chunks, but an index does not number the
/// chunks: the chunk is the one whose bases begin next to where it should by its place.
pub(super) fn of_part(
    bases: &[Base],
    plain_len: u32,
    (offset, len): (u32, u32),
    part: Range<u32>,
) -> Vec<Base> {
    let groups: Vec<&[Base]> = bases.chunk_by(|a, b| a.chunk == b.chunk).collect();
    let total = sum(bases);
    let wanted = scaled(offset.into(), total, plain_len.into());
    let mut start = 0;
    let starts = groups.iter().map(|group| {
        let at = start;
        start += sum(group);
        at
    });
    let nearest = starts.zip(&groups).min_by_key(|(at, _)| at.abs_diff(wanted));
    let Some((_, group)) = nearest else { return Vec::new() };
    let scale = |at: u32| scaled(at.into(), sum(group), len.into());
    cut(group, scale(part.start)..scale(part.end))
}

/// The bytes `range` of the concatenated `bases`.
fn cut(bases: &[Base], range: Range<u64>) -> Vec<Base> {
    let mut before = 0;
    let mut found = Vec::new();
    for base in bases {
        let (from, to) = (range.start.max(before), range.end.min(before + u64::from(base.len)));
        if from < to {
            let within = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
            let (skipped, len) = (within(from - before), within(to - from));
            found.push(Base { offset: base.offset.saturating_add(skipped), len, ..*base });
        }
        before += u64::from(base.len);
    }
    found
}

fn scaled(at: u64, to: u64, from: u64) -> u64 {
    at.saturating_mul(to) / from.max(1)
}

fn sum(bases: &[Base]) -> u64 {
    bases.iter().map(|base| u64::from(base.len)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ChunkId;

    fn base(id: u8, chunk: u32, offset: u32, len: u32) -> Base {
        Base { id: ChunkId([id; 32]), chunk, offset, len }
    }

    #[test]
    fn a_chunk_finds_its_own_bases_and_a_part_of_it_its_share() {
        // Chunks of 100, 300 and 50 bytes, which came from 110, 200 + 90, and 60.
        let bases = [base(1, 0, 0, 110), base(2, 1, 7, 200), base(3, 1, 0, 90), base(4, 2, 5, 60)];
        let whole = |offset, len| of_part(&bases, 450, (offset, len), 0..len);
        assert_eq!(whole(0, 100), bases[..1]);
        assert_eq!(whole(100, 300), bases[1..3]);
        assert_eq!(whole(400, 50), bases[3..]);
        let half = of_part(&bases, 450, (100, 300), 150..300);
        assert_eq!(half, [base(2, 1, 152, 55), base(3, 1, 0, 90)]);
        assert_eq!(of_part(&bases, 450, (0, 100), 50..50), []);
        assert_eq!(of_part(&[], 450, (0, 100), 0..100), []);
    }
}
