//! `tune`, and repositories made with what it saved.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Run, Scene, is_root, make};

const MIB: usize = 1 << 20;

/// Lines that compress well, and no two of them alike.
fn lines(len: usize) -> Vec<u8> {
    let line = |number: u64| {
        format!("entry {number} of the log: request {:016x} served\n", number * number)
    };
    let mut text: Vec<u8> = (0..).flat_map(|number| line(number).into_bytes()).take(len).collect();
    text.truncate(len);
    text
}

fn tune(scene: &Scene, options: &[&str]) -> Run {
    let source = scene.source.to_str().unwrap();
    scene.coffer([&["--json", "tune", source], options].concat())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// What was measured with one setting other than the default's.
fn with<'s>(summary: &'s Value, name: &str, value: u64) -> &'s Value {
    let all = summary["candidates"].as_array().unwrap();
    all.iter().find(|one| one["settings"][name] == value).unwrap()
}

fn settings(scene: &Scene) -> Value {
    scene.coffer(["--json", "stats"]).ok().json().remove(0)["settings"].take()
}

#[test]
fn text_is_measured_and_what_is_recommended_makes_a_repository() {
    let scene = Scene::without_repository();
    for part in 0..8 {
        let text = lines(8 * MIB);
        let part_bytes = &text[part * MIB..(part + 1) * MIB];
        make::file(&scene.source, format!("log-{part}"), part_bytes);
    }
    let file = scene.path("tuned.json");
    let summary = tune(&scene, &["--save", file.to_str().unwrap()]).ok().summary();
    let sampled = &summary["sampled"];
    for (name, wanted) in [("files", 8), ("files_total", 8), ("error_count", 0)] {
        assert_eq!(number(&sampled[name]), wanted, "{name}: {sampled}");
    }
    for name in ["bytes", "bytes_total", "content_bytes"] {
        assert_eq!(number(&sampled[name]), 8 * MIB as u64, "{name}: {sampled}");
    }
    let default = &summary["candidates"][0];
    assert_eq!((&default["relative_size"], &default["relative_time"]), (&json!(1.0), &json!(1.0)));
    let stored = |one: &Value| number(&one["stored_bytes"]);
    assert!(stored(default) < 4 * MIB as u64, "{default}");
    assert!(stored(with(&summary, "zstd_level", 0)) >= 8 * MIB as u64);
    assert_ne!(stored(with(&summary, "frame_len", 1 << 20)), stored(default));
    assert_ne!(stored(with(&summary, "zstd_level", 12)), stored(default));
    let chunks = |kib: u64| number(&with(&summary, "tree_chunk_avg", kib << 10)["chunks"]);
    assert!(chunks(16) > 6 * chunks(256), "{} and {}", chunks(16), chunks(256));
    let index = number(&default["index_bytes"]);
    assert_eq!(index, 48 * number(&default["chunks"]));

    let recommended = &summary["candidates"][number(&summary["recommended"]) as usize]["settings"];
    assert_eq!(&summary["settings"], recommended);
    let saved: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for (name, value) in recommended.as_object().unwrap() {
        assert_eq!(&saved[name], value, "{name}");
    }
    scene.coffer(["init", "--tuned", file.to_str().unwrap()]).ok();
    assert_eq!(&settings(&scene), recommended);
    scene.assert_round_trip();
    // A choice is not written over another.
    let again = tune(&scene, &["--save", file.to_str().unwrap()]).fails_with(1);
    assert!(again.errors().contains("exists already") && again.stdout.is_empty());
}

#[test]
fn noise_is_no_reason_to_leave_the_default() {
    let scene = Scene::without_repository();
    make::file(&scene.source, "noise", make::noise(1, 5 * MIB));
    let summary = tune(&scene, &[]).ok().summary();
    assert_eq!(
        (&summary["recommended"], &summary["reason"]),
        (&json!(0), &json!("none-is-smaller"))
    );
    for one in summary["candidates"].as_array().unwrap() {
        let stored = number(&one["stored_bytes"]);
        assert!((5 * MIB..5 * MIB + 200_000).contains(&(stored as usize)), "{one}");
        assert_eq!(one["duplicate_bytes"], 0);
    }
}

#[test]
fn duplicates_are_counted_and_stored_once() {
    let scene = Scene::without_repository();
    for name in ["a", "b/c", "d"] {
        make::file(&scene.source, name, make::noise(7, 2 * MIB));
    }
    let summary = tune(&scene, &[]).ok().summary();
    for one in summary["candidates"].as_array().unwrap() {
        assert_eq!(number(&one["duplicate_bytes"]), 4 * MIB as u64, "{one}");
        assert!(number(&one["stored_bytes"]) < 2 * MIB as u64 + 200_000, "{one}");
    }
}

#[test]
fn the_sample_is_bounded_and_the_estimate_is_for_everything() {
    let scene = Scene::without_repository();
    make::file(&scene.source, "noise", make::noise(3, 40 * MIB));
    let run = tune(&scene, &["--sample", "16MiB"]).ok();
    let summary = run.summary();
    let bytes = number(&summary["sampled"]["bytes"]);
    assert!((15 * MIB..=16 * MIB).contains(&(bytes as usize)), "{bytes}");
    let estimate = number(&summary["candidates"][0]["estimated_stored_bytes"]) as usize;
    assert!((40 * MIB..41 * MIB).contains(&estimate), "{estimate}");
    assert!(!scene.repo.exists(), "tune made a repository");
}

#[test]
fn the_text_has_a_line_for_each_choice_and_little_is_told_to_be_too_little() {
    let scene = Scene::without_repository();
    make::file(&scene.source, "small", lines(50_000));
    let text = scene.coffer(["tune", scene.source.to_str().unwrap()]).ok().text();
    let first = text.lines().next().unwrap();
    assert_eq!(first, "sampled 48.8 KiB of 48.8 KiB from 1 of 1 file");
    for name in ["*  default", "level off", "level 12", "chunks 16.0 KiB", "frames 8.0 MiB"] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(name)), "{name}: {text}");
    }
    assert!(text.contains("recommended: zstd level 3, frames of 4.0 MiB"), "{text}");
    assert!(text.lines().last().unwrap().contains("too little to tell"), "{text}");
}

#[test]
fn what_is_excluded_or_a_further_name_is_not_sampled() {
    let scene = Scene::without_repository();
    make::file(&scene.source, "kept", make::noise(1, 1000));
    make::file(&scene.source, "left.tmp", make::noise(2, 1000));
    fs::hard_link(scene.source.join("kept"), scene.source.join("link")).unwrap();
    let summary = tune(&scene, &["--exclude", "*.tmp"]).ok().summary();
    let sampled = &summary["sampled"];
    assert_eq!((number(&sampled["files_total"]), number(&sampled["bytes"])), (1, 1000));
}

#[test]
fn nothing_to_measure_is_a_failure_that_saves_nothing() {
    let scene = Scene::without_repository();
    let file = scene.path("tuned.json");
    let run = tune(&scene, &["--save", file.to_str().unwrap()]).fails_with(1);
    assert!(run.errors().contains("nothing to measure"), "{}", run.errors());
    assert!(!file.exists());
    tune(&scene, &["--sample", "1M"]).fails_with(2);
    scene.coffer(["tune", ""]).fails_with(2);
    let nowhere = scene.path("none/tuned.json");
    tune(&scene, &["--save", nowhere.to_str().unwrap()]).fails_with(1);
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_measured() {
    let scene = Scene::without_repository();
    make::file(&scene.source, "file", lines(10_000));
    make::mode(&make::file(&scene.source, "closed", "x"), 0o000);
    let file = scene.path("tuned.json");
    let run = tune(&scene, &["missing-root", "--save", file.to_str().unwrap()]).fails_with(3);
    let errors = run.json_errors();
    assert!(errors[0]["item"].as_str().unwrap().ends_with("missing-root"), "{errors:?}");
    let wanted = 1 + u64::from(!is_root());
    assert_eq!(number(&run.summary()["sampled"]["error_count"]), wanted);
    assert!(file.exists());
}

#[test]
fn an_interrupted_measurement_ends_with_130_and_saves_nothing() {
    let scene = Scene::without_repository();
    make::file(&scene.source, "text", lines(48 * MIB));
    let file = scene.path("tuned.json");
    let mut command = scene.command();
    command.args(["--json", "tune", "--save"]).arg(&file).arg(&scene.source);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&told.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["message_type"], "status", "{first}");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    told.for_each(drop);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{errors}");
    assert!(errors.contains("interrupted"), "{errors}");
    assert!(!file.exists());
}

fn saved(path: &Path, level: i64, frame_len: u64, pack_len: u64, avg: u64) -> String {
    let settings = json!({
        "coffer_tuning": 1,
        "zstd_level": level,
        "frame_len": frame_len,
        "pack_len": pack_len,
        "tree_chunk_avg": avg,
    });
    fs::write(path, settings.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_repository_follows_the_settings_it_was_made_with() {
    let scene = Scene::without_repository();
    make::file(&scene.source, "text", lines(900_000));
    make::file(&scene.source, "noise", make::noise(5, 900_000));
    let file = saved(&scene.path("tuned.json"), 0, 64 << 10, 1 << 20, 16 << 10);
    let source = scene.source.to_str().unwrap();
    scene.coffer(["backup", "--init", "--tuned", &file, source]).ok();
    let wanted = json!({
        "zstd_level": 0,
        "frame_len": 64 << 10,
        "pack_len": 1 << 20,
        "tree_chunk_avg": 16 << 10,
    });
    assert_eq!(settings(&scene), wanted);
    let stats = scene.coffer(["--json", "stats"]).ok().json().remove(0);
    // Nothing is compressed, packs are of 1 MiB, and chunks are about a quarter of the usual length.
    assert!(number(&stats["total"]["stored_bytes"]) >= 1_800_000, "{stats}");
    assert!(number(&stats["total"]["chunks"]) > 60, "{stats}");
    assert_eq!(number(&stats["repository"]["data"]["count"]), 2, "{stats}");
    let text = scene.coffer(["stats"]).ok().text();
    let line =
        "settings   no compression, frames of 64.0 KiB, packs of 1.0 MiB, chunks of 16.0 KiB";
    assert!(text.lines().any(|it| it == line), "{text}");
    scene.assert_round_trip();
}

#[test]
fn a_file_that_is_none_of_settings_is_refused_before_anything_is_made() {
    let scene = Scene::without_repository();
    let path = scene.path("tuned.json");
    let refused = |file: &str, told: &str| {
        let run = scene.coffer(["init", "--tuned", file]).fails_with(2);
        let errors = run.errors();
        assert!(errors.contains(told) && errors.contains("hint: "), "{told}: {errors}");
        assert!(!scene.repo.exists() && !scene.key.exists(), "{told}: something was made");
    };
    let file = path.to_str().unwrap();
    refused(file, "No such file");
    for text in ["", "{}", "[1]", "zstd_level = 3", "{\"coffer_tuning\":1}"] {
        fs::write(&path, text).unwrap();
        refused(file, "is no file of settings");
    }
    fs::write(&path, vec![b' '; 70_000]).unwrap();
    refused(file, "more than 65536 bytes");
    refused(&saved(&path, 23, 1 << 20, 1 << 20, 64 << 10), "zstd_level is 23");
    refused(&saved(&path, 3, 1 << 10, 1 << 20, 64 << 10), "frame_len is 1024");
    refused(&saved(&path, 3, 1 << 20, 1 << 40, 64 << 10), "pack_len is 1099511627776");
    refused(&saved(&path, 3, 1 << 20, 1 << 20, 50_000), "tree_chunk_avg is 50000");
    let newer = fs::read_to_string(&path).unwrap().replace("tuning\":1", "tuning\":2");
    fs::write(&path, newer).unwrap();
    refused(file, "has version 2");
    let unknown = saved(&path, 3, 1 << 20, 1 << 20, 64 << 10);
    let text = fs::read_to_string(&path).unwrap().replace("}", ",\"more\":1}");
    fs::write(&path, text).unwrap();
    refused(&unknown, "unknown field `more`");
}

/// Bytes of packs that a backup of the same lines adds to a new repository made with `made`.
fn stored(made: &[&str], options: &[&str]) -> u64 {
    let scene = Scene::without_repository();
    scene.coffer([&["init"], made].concat()).ok();
    make::file(&scene.source, "lines", lines(4 * MIB));
    let source = scene.source.to_str().unwrap();
    let summary = scene.coffer([&["--json", "backup", source], options].concat()).ok().summary();
    scene.coffer(["verify"]).ok();
    number(&summary["data_added_packed"])
}

#[test]
fn a_backup_compresses_as_it_is_told_and_otherwise_as_the_repository_is_made_for() {
    let default = stored(&[], &[]);
    let [fast, max, off] = ["fast", "max", "off"].map(|how| stored(&[], &["--compression", how]));
    assert!(off > 4 * MIB as u64 && default < 2 * MIB as u64, "{off}, {default}");
    // Keys differ, and with them where chunks end: by less than this.
    let margin = default / 50;
    assert!(max + margin < default && default.abs_diff(fast) > margin, "{max} {default} {fast}");
    for (made, wanted) in [("fast", fast), ("max", max), ("off", off)] {
        let stored = stored(&["--compression", made], &["--compression", "default"]);
        assert!(stored.abs_diff(wanted) < margin, "{made}: {stored}, {wanted}");
    }
    assert!(stored(&["--compression", "off"], &["--compression", "max"]).abs_diff(max) < margin);
}

#[test]
fn compression_has_four_names_and_not_two_sources() {
    let scene = Scene::without_repository();
    scene.coffer(["init", "--compression", "much"]).fails_with(2);
    scene.coffer(["init", "--compression", "max", "--tuned", "x.json"]).fails_with(2);
    scene.coffer(["backup", "--init", "--compression", "9", "/"]).fails_with(2);
}
