//! The golden vectors of `format-spec/vectors` and the worked example beside them.
//!
//! Every vector is made again and compared with the stored one; with `COFFER_WRITE_VECTORS=1` it is
//! stored instead, which no format version ever needs after its release.

mod bodies;
mod chunking;
mod content;
mod describe;
mod example;
mod golden;
mod nodes;
mod packs;
mod reopen;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use golden::Golden;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../format-spec")
}

fn is_writing() -> bool {
    std::env::var_os("COFFER_WRITE_VECTORS").is_some_and(|value| value == "1")
}

/// Compares a stored file of the specification with what it should hold, or stores it.
fn check_file(name: &str, expected: &[u8]) {
    let path = folder().join(name);
    if is_writing() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
        return;
    }
    let stored = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let differs = stored.iter().zip(expected).position(|(one, other)| one != other);
    let at = differs.unwrap_or(stored.len().min(expected.len()));
    assert!(stored == expected, "{name} differs from byte {at} on");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_json(name: &str, expected: &Value) {
    let text = serde_json::to_string_pretty(expected).unwrap() + "\n";
    check_file(name, text.as_bytes());
}

#[test]
fn every_object_is_made_again_to_the_byte() {
    let golden = Golden::make();
    let mut rows = Vec::new();
    for object in &golden.objects {
        check_file(&format!("vectors/{}", object.file), &object.bytes);
        let mut row = json!({
            "file": object.file,
            "length": object.bytes.len(),
            "blake3": hex(blake3::hash(&object.bytes).as_bytes()),
            "decoded": object.decoded,
        });
        let place = if object.file.ends_with(".node") { "chunk_id" } else { "name" };
        row[place] = json!(object.name);
        rows.push(row);
    }
    let credentials = json!({
        "key_file": golden::KEY_FILE,
        "password": golden::PASSWORD,
        "author_host": hex(&golden::AUTHOR[..16]),
        "author_secret": hex(&golden::AUTHOR[16..]),
    });
    let chunks = describe::chunks(&golden);
    check_json(
        "vectors/vectors.json",
        &json!({ "credentials": credentials, "objects": rows, "chunks": chunks,
            "ids": describe::ids(golden.keyring()) }),
    );
}

#[test]
fn chunker_and_padding_give_the_stored_tables() {
    check_json("vectors/chunking.json", &chunking::table(Golden::make().keyring()));
    check_json("vectors/padding.json", &chunking::padding());
}

#[test]
fn every_stored_object_decodes_and_encodes_again_to_the_byte() {
    let golden = Golden::make();
    let read = |object: &golden::Object| {
        std::fs::read(folder().join("vectors").join(&object.file)).unwrap_or_default()
    };
    if !is_writing() {
        for object in &golden.objects {
            reopen::check(&golden, object, &read(object));
        }
    }
}

#[test]
fn the_stored_objects_are_a_repository_that_opens_and_reads() {
    if !is_writing() {
        reopen::check_repository(&Golden::make());
    }
}

#[test]
fn the_worked_example_tells_the_true_values() {
    example::check(&Golden::make());
}
