use std::sync::Arc;

use super::*;
use crate::backup::{SourceOptions, backup};
use crate::error::{Error, Kind};
use crate::frame;
use crate::model::*;
use crate::observe::Silent;
use crate::pack::{NewFrame, PackBuilder};
use crate::repo::testing::*;
use crate::repo::{ChunkReader, pack_name};
use crate::source::secrets::SecretsSource;
use crate::store::{FaultStore, Operation, Store, When};

fn flip(fixture: &Fixture, name: &str, at: usize) {
    let mut bytes = fixture.memory.get(name, 1 << 30).unwrap();
    bytes[at] ^= 1;
    fixture.memory.tamper(name, bytes);
}

#[test]
fn a_damaged_frame_names_pack_snapshot_and_path() {
    let fixture = Fixture::new();
    fixture.file("f", &noise(1, 30_000));
    let sid = fixture.backup("first").snapshot_id.unwrap();
    let repo = fixture.open("verify");
    assert!(verify(&repo, &Silent).unwrap().is_clean());
    let pack = fixture.packs(Purpose::Data)[0];
    flip(&fixture, &pack_name(pack), 1000);
    assert!(check(&repo, &Silent).unwrap().is_clean(), "check reads no data");
    let report = verify(&repo, &Silent).unwrap();
    assert!(report.findings.iter().any(|f| f.object.contains(&pack.to_string())));
    assert_eq!(report.snapshots_damaged, [sid]);
    assert!(report.touched[0].path.ends_with(b"/f"), "{:?}", report.touched);
}

#[test]
fn what_check_compares_is_told_by_name() {
    let fixture = Fixture::new();
    fixture.file("f", b"content");
    fixture.backup("first");
    let slot = fixture.names("keys/").remove(0);
    type Harm<'h> = (&'h str, Box<dyn Fn() + 'h>);
    let harms: [Harm<'_>; 4] = [
        ("config", Box::new(|| fixture.memory.tamper("config.copy", vec![0; 100]))),
        ("junk", Box::new(|| fixture.memory.tamper("junk", Vec::new()))),
        (
            "forgets",
            Box::new(|| {
                let name = format!("forgets/{}.0", "cd".repeat(16));
                fixture.memory.tamper(&name, vec![0; 100]);
            }),
        ),
        (&slot, Box::new(|| fixture.memory.delete(&slot).unwrap())),
    ];
    let repo = fixture.open("check");
    for (object, harm) in &harms {
        harm();
        let report = check(&repo, &Silent).unwrap();
        let found = report.findings.iter().any(|finding| finding.object == *object);
        assert!(found, "{object}: {:?}", report.findings);
    }
}

#[test]
fn a_break_in_the_chain_of_generations_is_found() {
    let fixture = Fixture::new();
    put_generation(&fixture.open("prune"), &[], Features::default());
    put_close(&fixture.open("prune"), &[], &[]);
    let repo = fixture.open("check");
    assert!(check(&repo, &Silent).unwrap().is_clean());
    flip(&fixture, "gen/1", 200);
    let report = check(&repo, &Silent).unwrap();
    assert_eq!(report.findings[0].object, "gen");
}

#[test]
fn trouble_of_the_store_is_no_damage_of_a_pack() {
    let fixture = Fixture::new();
    fixture.file("f", &noise(1, 30_000));
    fixture.backup("first");
    let mut nth = 0;
    loop {
        nth += 1;
        let store = Arc::new(FaultStore::new(fixture.memory.clone()));
        let repo = fixture.try_open(store.clone(), "verify").unwrap();
        let before = store.calls(Operation::GetRange);
        store.fail(Some(Operation::GetRange), nth, When::Before);
        match verify(&repo, &Silent) {
            Ok(report) => assert!(report.is_clean(), "{:?}", report.findings),
            Err(error) => assert_eq!(error.kind(), Kind::Unavailable),
        }
        assert!(fixture.names("records/").is_empty());
        if store.calls(Operation::GetRange) < before + nth {
            break;
        }
    }
    assert!(nth > 4);
}

/// Puts a pack of one frame and its segment.
fn put_pack(fixture: &Fixture, seed: &str, frame: NewFrame) -> PackId {
    let repo = fixture.open(seed);
    let (keyring, entropy) = (repo.keyring(), repo.entropy());
    let sealer = keyring.new_pack(entropy, Class::Ordinary, Purpose::Data).unwrap();
    let mut builder = PackBuilder::new(sealer);
    let sealed = builder.place(frame).unwrap().seal(keyring, Default::default()).unwrap().bytes;
    builder.append(&sealed);
    let mut bytes = [builder.header(), sealed].concat();
    let (tail, info) = builder.finish(keyring).unwrap();
    bytes.extend(tail);
    repo.store().create(&pack_name(info.id), &bytes).unwrap();
    repo.save_segment(std::slice::from_ref(&info)).unwrap();
    info.id
}

#[test]
fn a_delta_frame_is_read_through_any_intact_full_copy_of_its_base() {
    let fixture = Fixture::new();
    let repo = fixture.open("ids");
    let base = noise(1, 100_000);
    let mut plain = base.clone();
    plain[50_000] ^= 1;
    let id = |bytes: &[u8]| repo.keyring().data_id(Class::Ordinary, bytes).unwrap();
    let chunk = |bytes: &[u8]| vec![Chunk { id: id(bytes), len: bytes.len() as u32 }];
    let full = || NewFrame::full(frame::compress(base.clone(), 3).unwrap(), chunk(&base));
    let copies = [put_pack(&fixture, "one", full()), put_pack(&fixture, "two", full())];
    let delta = NewFrame {
        compressed: frame::compress_delta(&plain, &base, 3).unwrap(),
        chunks: chunk(&plain),
        bases: vec![Base { id: id(&base), chunk: 0, offset: 0, len: base.len() as u32 }],
        prefix: Some(Arc::new(base.clone())),
    };
    put_pack(&fixture, "delta", delta);
    let read = || -> crate::error::Result<Vec<u8>> {
        let index = Arc::new(repo.load_index(&Silent)?);
        let node = NodeRef { id: id(&plain), class: Class::Ordinary, height: 0 };
        ChunkReader::new(&repo, index).chunk(&node)
    };
    assert!(read().unwrap() == plain);
    assert!(verify(&repo, &Silent).unwrap().is_clean());
    for pack in copies {
        let bytes = fixture.memory.get(&pack_name(pack), 1 << 20).unwrap();
        flip(&fixture, &pack_name(pack), 1000);
        assert!(read().unwrap() == plain, "the other copy is intact");
        fixture.memory.tamper(&pack_name(pack), bytes);
    }
    copies.iter().for_each(|pack| flip(&fixture, &pack_name(*pack), 1000));
    let error: Error = read().unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(verify(&repo, &Silent).unwrap().findings.len() >= 3);
}

#[test]
fn lists_that_do_not_tell_what_secrets_need_are_found() {
    let fixture = Fixture::new();
    fixture.file("token", b"secret");
    let mut options = fixture.tree();
    options.sources = vec![SourceOptions::Secrets(SecretsSource {
        name: "secrets".to_owned(),
        paths: vec![fixture.source.path().to_owned()],
        environment_files: Vec::new(),
        commands: Vec::new(),
    })];
    backup(&fixture.open("first"), options, &Silent).unwrap();
    let repo = fixture.open("check");
    assert!(check(&repo, &Silent).unwrap().is_clean());
    let (_, whole) = repo.snapshots(true, &Silent).unwrap().remove(0);
    let [source] = &whole.sources[..] else { panic!("one source") };
    assert_eq!(source.root.unwrap().class, Class::S);
    let harmed = [
        Source { s_data_ids: None, ..source.clone() },
        Source { s_data_ids: source.s_node_ids, ..source.clone() },
        Source { s_node_ids: None, ..source.clone() },
    ];
    for (number, source) in (1..).zip(harmed) {
        let sid = SnapshotId([number; 16]);
        let harmed = Snapshot { sid, sources: vec![source], ..whole.clone() };
        repo.put_snapshot(&harmed).unwrap();
        let report = check(&repo, &Silent).unwrap();
        let found = report.findings.iter().filter(|it| it.object == "source secrets").count();
        assert!(found >= usize::from(number), "{number}: {:?}", report.findings);
    }
}
