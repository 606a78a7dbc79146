use std::sync::atomic::AtomicU64;

use super::*;
use crate::observe::Silent;
use crate::repo::testing::Fixture;

#[test]
fn a_dry_run_knows_every_chunk_and_keeps_few_in_memory() {
    const COUNT: u32 = 50_000;
    let fixture = Fixture::new();
    let repo = fixture.open("dry run");
    let index = repo.load_index(&Silent).unwrap();
    let (usable, _) = Usable::new(&repo, &index, &repo.view().unwrap(), &Silent).unwrap();
    let known = Known { index: &index, usable: &usable, relied: &Relied::new(&index) };
    let work = |writer: &mut ChunkWriter<'_>| {
        for is_first in [true, false] {
            for number in 0..COUNT {
                let plain = number.to_le_bytes();
                let id = writer.name_data(Class::Ordinary, &plain)?;
                assert_eq!(writer.put_chunk(Class::Ordinary, id, &plain)?, is_first);
            }
        }
        assert!(writer.seen.len() < FRAME_CHUNK_COUNT_MAX);
        Ok(())
    };
    let stored = AtomicU64::new(0);
    let writing = Writing { dry_run: true, ..Writing::of(&repo) };
    let ((), written) = write(&repo, known, &stored, writing, work).unwrap();
    assert_eq!((written.packs, written.data_added), (0, u64::from(COUNT) * 4));
}

#[test]
fn secrets_are_never_stored_as_differences() {
    let fixture = Fixture::new();
    let text: Vec<u8> =
        (0..20_000_u32).flat_map(|number| number.to_string().into_bytes()).collect();
    let stored = AtomicU64::new(0);
    let mut older = Older::default();
    for seed in ["first", "second"] {
        let repo = fixture.open(seed);
        let index = repo.load_index(&Silent).unwrap();
        let (usable, _) = Usable::new(&repo, &index, &repo.view().unwrap(), &Silent).unwrap();
        let known = Known { index: &index, usable: &usable, relied: &Relied::new(&index) };
        let plain = [text.as_slice(), seed.as_bytes()].concat();
        let mut ids = Vec::new();
        let work = |writer: &mut ChunkWriter<'_>| {
            for class in [Class::Ordinary, Class::S] {
                let id = writer.name_data(class, &plain)?;
                assert!(writer.keep_chunk(class, id, &plain, Kept::After(&older))?);
                ids.push(id);
            }
            Ok(())
        };
        write(&repo, known, &stored, Writing::of(&repo), work).unwrap();
        let index = repo.load_index(&Silent).unwrap();
        let kind = |id: &ChunkId| index.find(id).first().unwrap().frame.kind;
        let wanted = if seed == "first" { FrameKind::Full } else { FrameKind::Delta };
        assert_eq!([kind(&ids[0]), kind(&ids[1])], [wanted, FrameKind::Full]);
        let len = u32::try_from(plain.len()).unwrap();
        older.bases = vec![Base { id: ids[0], chunk: 0, offset: 0, len }];
    }
}
