//! Entries to pages of a manifest, and back.

use coffer_engine::format::node::{PageBuilder, decode_page};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

use crate::input::entries;

const ENTRY_COUNT: usize = 400;

#[divan::bench]
fn encoding_a_page(bencher: Bencher<'_, '_>) {
    let entries = entries(ENTRY_COUNT);
    let page_len = page().len();
    bencher.counter(ItemsCount::new(entries.len())).counter(BytesCount::new(page_len)).bench(
        || {
            let mut page = PageBuilder::default();
            entries.iter().for_each(|entry| page.push(entry).unwrap());
            page.finish().unwrap()
        },
    );
}

#[divan::bench]
fn decoding_a_page(bencher: Bencher<'_, '_>) {
    let page = page();
    bencher
        .counter(ItemsCount::new(ENTRY_COUNT))
        .counter(BytesCount::of_slice(&page))
        .bench(|| decode_page(divan::black_box(&page)).unwrap());
}

fn page() -> Vec<u8> {
    let mut page = PageBuilder::default();
    entries(ENTRY_COUNT).iter().for_each(|entry| page.push(entry).unwrap());
    page.finish().unwrap()
}
