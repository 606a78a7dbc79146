//! The rules of the code's shape that a machine can check: layers, edges to the outside, sizes, lints.

mod code;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use code::Code;

/// Layers of the engine's modules: each uses lower ones only.
const LAYERS: &[(u32, &[&str])] = &[
    (0, &["model", "error", "limits", "observe", "crash"]),
    (1, &["format", "crypto", "frame", "chunk", "store", "source", "target", "cache"]),
    (2, &["fence", "pack", "manifest", "index"]),
    (3, &["repo"]),
    (4, &["backup", "browse", "maintain", "restore", "tune", "verify"]),
    (5, &["watch"]),
];

/// Edges within a layer. The list only shrinks.
const EDGES_ALLOWED: &[(&str, &str)] = &[("model", "limits"), ("observe", "error")];

/// What may touch files and the network: modules, and single files of the words.
const OUTSIDE_ALLOWED: &[&str] =
    &["store/", "source/", "target/", "cache/", "crash.rs", "model/entropy.rs", "model/clock.rs"];
const OUTSIDE: &[&str] = &["std::fs", "std::net", "rustix::fs", "rustix::net", "tempfile"];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Files and functions (`file: name`) above their bound, with their lines. The list only shrinks.
const TOO_LONG: &[(&str, usize)] = &[];

/// Modules that decode what strangers forge, and the lints they deny.
const STRICT: &[&str] = &["format", "crypto", "pack"];
const STRICT_LINTS: &[&str] = &[
    "indexing_slicing",
    "arithmetic_side_effects",
    "as_conversions",
    "unwrap_used",
    "expect_used",
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The Rust files below `folder`, by their path relative to it, in order.
fn rust_files(folder: &Path) -> Vec<(String, String)> {
    fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                collect(root, &path, files);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut files = Vec::new();
    collect(folder, folder, &mut files);
    files.sort();
    files
}

/// The engine's files as they are built without tests.
fn engine() -> Vec<(String, Code)> {
    let files = rust_files(&workspace().join("engine/src"));
    assert!(files.len() > 100, "the engine has {} files", files.len());
    code::without_tests(files)
}

fn all_files() -> Vec<(String, String)> {
    let root = workspace();
    let parts = ["engine", "cli", "tests", "benches", "fuzz"];
    let files = parts.iter().flat_map(|part| {
        let named = |(name, text): (String, String)| (format!("{part}/{name}"), text);
        rust_files(&root.join(part)).into_iter().map(named).collect::<Vec<_>>()
    });
    files.collect()
}

fn layer_of(module: &str) -> Option<u32> {
    LAYERS.iter().find(|(_, modules)| modules.contains(&module)).map(|(layer, _)| *layer)
}

fn check_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn modules_use_only_modules_of_lower_layers() {
    let mut problems = Vec::new();
    let mut used = BTreeSet::new();
    for (file, code) in engine().iter().filter(|(file, _)| file != "lib.rs") {
        let module = file.split(['/', '.']).next().unwrap();
        let Some(layer) = layer_of(module) else {
            problems.push(format!("{file}: module {module} is in no layer"));
            continue;
        };
        for (line, name) in code.crate_uses(code::depth(file)) {
            match layer_of(&name) {
                _ if name == module => {}
                _ if name == "*" => problems.push(format!("{file}:{line}: uses crate::*")),
                None => problems.push(format!("{file}:{line}: {name} is in no layer")),
                Some(other) if other < layer => {}
                Some(_) if EDGES_ALLOWED.contains(&(module, &name)) => {
                    used.insert((module.to_owned(), name));
                }
                Some(other) => problems.push(format!(
                    "{file}:{line}: {module} (layer {layer}) uses {name} (layer {other})"
                )),
            }
        }
    }
    for (from, to) in EDGES_ALLOWED {
        if !used.contains(&((*from).to_owned(), (*to).to_owned())) {
            problems.push(format!("the edge {from} to {to} is gone: strike it from the list"));
        }
    }
    check_none(&problems);
}

#[test]
fn only_edges_touch_the_outside() {
    let mut problems = Vec::new();
    for (file, code) in engine() {
        if OUTSIDE_ALLOWED.iter().any(|allowed| file.starts_with(allowed)) {
            continue;
        }
        for (line, path) in code.paths_of(OUTSIDE) {
            problems.push(format!("{file}:{line}: uses {path}"));
        }
    }
    check_none(&problems);
}

#[test]
fn files_and_functions_stay_short() {
    let mut long = Vec::new();
    for (file, text) in all_files() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            long.push((file.clone(), lines));
        }
        for (name, lines) in Code::new(&text).functions() {
            if lines > FUNCTION_LINES_MAX {
                long.push((format!("{file}: {name}"), lines));
            }
        }
    }
    let mut problems = Vec::new();
    for (name, lines) in &long {
        match TOO_LONG.iter().find(|(listed, _)| listed == name) {
            Some((_, listed)) if lines <= listed => {}
            _ => problems.push(format!("{name} has {lines} lines")),
        }
    }
    for (name, listed) in TOO_LONG {
        match long.iter().find(|(found, _)| found == name) {
            None => problems.push(format!("{name} is short now: strike it from the list")),
            Some((_, lines)) if lines < listed => {
                problems.push(format!("{name} has {lines} lines now: write that in the list"));
            }
            Some(_) => {}
        }
    }
    check_none(&problems);
}

#[test]
fn decoders_deny_what_may_panic() {
    for module in STRICT {
        let text = fs::read_to_string(workspace().join(format!("engine/src/{module}/mod.rs")));
        let text = text.unwrap();
        let (_, attribute) = text.split_once("deny(").expect(module);
        let denied = attribute.split_once(')').expect(module).0;
        for lint in STRICT_LINTS {
            assert!(denied.contains(&format!("clippy::{lint}")), "{module} does not deny {lint}");
        }
    }
}

#[test]
fn nothing_is_ignored_or_left_to_do_without_a_number() {
    let ignored = concat!("#[ig", "nore");
    let mut problems = Vec::new();
    for (file, text) in all_files() {
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
            if line.contains(ignored) {
                problems.push(format!("{file}:{number}: an ignored test"));
            }
            for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")] {
                let Some((_, rest)) = line.split_once(word) else { continue };
                let numbered = rest.strip_prefix("(#").is_some_and(|rest| {
                    rest.split_once(')').is_some_and(|(digits, _)| digits.parse::<u32>().is_ok())
                });
                if !numbered {
                    problems.push(format!("{file}:{number}: {word} without a number"));
                }
            }
        }
    }
    check_none(&problems);
}
