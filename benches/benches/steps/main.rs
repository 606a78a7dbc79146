//! Throughput of the pure steps of a backup and a restore: `cargo bench -p coffer-benches`.
//! One thread each; what waits for a disk is not here. Bytes are of plaintext.

mod chunks;
mod frames;
mod index;
mod input;
#[path = "../keyring.rs"]
mod keyring;
mod packs;
mod pages;

fn main() {
    divan::main();
}
