//! Forgetting snapshots and pruning what nothing needs, through the binary.

mod beside;
mod pruning;
mod rules;

use serde_json::Value;

/// The ids of a list of snapshots in a line of `forget`.
fn ids(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list");
    list.iter().map(|it| it["id"].as_str().expect("an id").to_owned()).collect()
}
