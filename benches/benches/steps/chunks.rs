//! Where to cut, and what the chunk is called.

use coffer_engine::chunk::{Cutter, standard_profiles};
use coffer_engine::model::Class;
use divan::Bencher;
use divan::counter::BytesCount;

use crate::input::text;
use crate::keyring::keyring;

#[divan::bench(args = ["tree", "media"])]
fn chunking(bencher: Bencher<'_, '_>, profile: &str) {
    let profiles = standard_profiles();
    let profile = profiles.iter().find(|one| one.name == profile).unwrap();
    let cutter = Cutter::new(&keyring().gear_table(), profile).unwrap();
    let plain = text(16 << 20);
    bencher.counter(BytesCount::of_slice(&plain)).bench(|| {
        let (mut rest, mut count) = (&plain[..], 0_u32);
        while let Some(len) = cutter.cut(rest, true) {
            rest = &rest[len..];
            count += 1;
        }
        count
    });
}

#[divan::bench(args = [1 << 10, 4 << 10, 64 << 10, 1 << 20])]
fn hashing_chunks(bencher: Bencher<'_, '_>, chunk_len: usize) {
    let (keyring, plain) = (keyring(), text(4 << 20));
    bencher.counter(BytesCount::of_slice(&plain)).bench(|| {
        for chunk in plain.chunks(chunk_len) {
            divan::black_box(keyring.data_id(Class::Ordinary, chunk).unwrap());
        }
    });
}
