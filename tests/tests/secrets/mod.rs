//! Secrets: stored under keys of their own, named nowhere, and back as they were.

mod canary;
mod databases;
mod harm;
mod keys;
mod sources;

use std::path::Path;

use crate::support::{Run, Scene, run};

/// Runs the binary with the key in `key` instead of the scene's.
#[must_use]
fn with_key(scene: &Scene, key: &Path, args: &[&str]) -> Run {
    run::finish(scene.locked_command().env("COFFER_KEY_FILE", key).args(args), None)
}

/// Adds a key that may not read secrets.
fn key_without_secrets(scene: &Scene) -> std::path::PathBuf {
    let key = scene.path("key-without-secrets");
    scene.coffer(["key", "add", "--no-secrets", "--new-key-file", key.to_str().unwrap()]).ok();
    key
}
