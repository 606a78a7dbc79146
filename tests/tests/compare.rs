//! The comparison with other programs, `benches/compare`, run with Coffer alone at the smallest scale.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use crate::support::run::{Run, finish};

const COFFER: &str = env!("CARGO_BIN_EXE_coffer-under-test");
const CORPORA: [&str; 6] = ["source", "media", "databases", "tiny", "tiny-many", "image"];

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The comparison with all that it writes below `folder`.
fn command(folder: &Path, coffer: &Path, options: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.arg(workspace().join("benches/compare")).args(["--tools", "coffer", "--no-install"]);
    command.args(["--runs", "1", "--settle", "0", "--coffer"]).arg(coffer);
    for name in ["work", "peers", "report"] {
        command.arg(format!("--{name}")).arg(folder.join(name));
    }
    command.args(options);
    command
}

fn compare(folder: &Path, coffer: &Path, options: &[&str]) -> Run {
    finish(&mut command(folder, coffer, options), None)
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("report/compare.json")).unwrap()).unwrap()
}

/// The labels of a corpus's steps.
fn labels(corpus: &str) -> Vec<&'static str> {
    let changes: &[&str] = match corpus {
        "databases" => &["hour 1", "hour 2"],
        "image" => &["blocks", "shifted"],
        _ => &["changed"],
    };
    [&["init", "first", "unchanged"], changes, &["restore", "verify", "forget"]].concat()
}

#[test]
fn the_comparison_has_a_row_for_every_step_of_every_corpus() {
    let folder = tempfile::tempdir().unwrap();
    let source = workspace().join("docs");
    let options = ["--scale", "smallest", "--source-tree", source.to_str().unwrap()];
    compare(folder.path(), Path::new(COFFER), &options).ok();

    let report = report(folder.path());
    let mut found = Vec::new();
    for row in report["rows"].as_array().unwrap() {
        let (corpus, label) = (row["corpus"].as_str().unwrap(), row["label"].as_str().unwrap());
        assert_eq!(row["error"], "", "{corpus}, {label}");
        for figure in ["wall_secs", "cpu_secs", "peak_rss_bytes", "stored_bytes"] {
            assert!(row[figure].as_f64().unwrap() > 0.0, "{corpus}, {label}: {figure}");
        }
        found.push((corpus.to_owned(), label.to_owned()));
    }
    let of = |corpus: &str| {
        labels(corpus).into_iter().map(|label| (corpus.to_owned(), label.to_owned())).collect()
    };
    let wanted: Vec<(String, String)> =
        CORPORA.iter().flat_map(|corpus| -> Vec<_> { of(corpus) }).collect();
    assert_eq!(found, wanted);
    assert_eq!(report["medians"].as_array().unwrap().len(), wanted.len());

    let (table, page) = (folder.path().join("report/compare.md"), "report/compare.html");
    let page = fs::read_to_string(folder.path().join(page)).unwrap();
    let table = fs::read_to_string(table).unwrap();
    for corpus in CORPORA {
        assert!(table.contains(&format!("## {corpus}\n")), "{table}");
        assert!(page.contains(&format!("<h2>{corpus}</h2>")));
    }
    assert!(page.contains("<rect") && !page.contains("<script") && !page.contains("http"));
    assert_eq!(fs::read_dir(folder.path().join("work")).unwrap().count(), 0);
}

#[test]
fn a_tool_that_restores_other_bytes_fails_the_comparison() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken-coffer");
    let script = format!(
        "#!/bin/sh\n'{COFFER}' \"$@\" || exit\ncase \"$2\" in restore) target=\"$5\";\n\
         file=$(find \"$target\" -name 0000007.txt); printf x | dd of=\"$file\" bs=1 seek=20 conv=notrunc;; esac\n"
    );
    fs::write(&broken, script).unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    let options = ["--scale", "smallest", "--corpora", "tiny", "--steps", "restore"];
    let run = compare(folder.path(), &broken, &options).fails_with(1);
    assert!(run.errors().contains("0000007.txt: other content"), "{}", run.errors());
    let rows = report(folder.path())["rows"].clone();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    assert_eq!(fs::read_dir(folder.path().join("work")).unwrap().count(), 0);
}

#[test]
fn a_comparison_that_does_not_fit_on_the_disk_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    // Longer than any disk under test, and no bytes on this one.
    File::create(source.join("sparse")).unwrap().set_len(8 << 40).unwrap();
    let options =
        ["--scale", "full", "--corpora", "source", "--source-tree", source.to_str().unwrap()];
    let run = compare(folder.path(), Path::new(COFFER), &options).fails_with(1);
    assert!(run.errors().contains("GB free, and this comparison may need"), "{}", run.errors());
    assert!(!folder.path().join("report/compare.json").exists());
}

#[test]
fn a_comparison_that_is_stopped_cleans_up_and_reports_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--scale", "smallest", "--corpora", "tiny", "--runs", "1000"];
    let mut command = command(folder.path(), Path::new(COFFER), &options);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.starts_with("run 2/1000")), "it ended before");
    rustix::process::kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let rest: Vec<String> = said.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");

    let report = report(folder.path());
    assert_eq!(report["stopped"], true);
    let first_run = report["rows"].as_array().unwrap().iter().filter(|row| row["run"] == 1);
    assert_eq!(first_run.count(), labels("tiny").len());
    assert_eq!(fs::read_dir(folder.path().join("work")).unwrap().count(), 0);
}

/// What a comparison backed up of the corpora whose files are always the same: path and bytes.
fn made(seed: &str) -> BTreeSet<(PathBuf, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let corpora = ["--corpora", "media,tiny,image", "--steps", "init", "--keep"];
    let options = [&["--scale", "smallest", "--seed", seed], &corpora[..]].concat();
    compare(folder.path(), Path::new(COFFER), &options).ok();
    let mut files = BTreeSet::new();
    let mut waiting: Vec<PathBuf> = Vec::new();
    for work in fs::read_dir(folder.path().join("work")).unwrap() {
        for corpus in fs::read_dir(work.unwrap().path()).unwrap() {
            let data = corpus.unwrap().path().join("data");
            waiting.push(data.clone());
            while let Some(path) = waiting.pop() {
                if path.is_dir() {
                    waiting.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
                } else {
                    let name = path.strip_prefix(&data).unwrap().to_owned();
                    files.insert((name, fs::read(path).unwrap()));
                }
            }
        }
    }
    files
}

#[test]
fn a_seed_decides_every_byte_that_is_compared() {
    let first = made("5");
    assert!(first.len() > 300, "{}", first.len());
    assert!(first == made("5"), "the same seed made other bytes");
    assert!(first != made("6"), "another seed made the same bytes");
}

/// What the modules of the comparison make of rows: the lines of its summary.
fn summary(report: &Value) -> Vec<Vec<String>> {
    let program = "import json, sys\nsys.dont_write_bytecode = True\nsys.path.insert(0, sys.argv[1])\n\
         import results, summary\nreport = json.load(sys.stdin)\n\
         report['medians'] = results.summarise(report['rows'])\n\
         print(json.dumps(summary.table(report)))";
    let mut command = Command::new("python3");
    command.args(["-c", program]).arg(workspace().join("benches/compare"));
    let run = finish(&mut command, Some(report.to_string().as_bytes())).ok();
    serde_json::from_slice(&run.stdout).unwrap()
}

#[test]
fn the_best_other_tool_is_that_of_the_median_that_did_the_whole_step() {
    let row = |step: &str, tool: &str, wall_secs: f64, error: &str| {
        json!({
            "corpus": "media", "step": step, "label": step, "tool": tool, "error": error,
            "wall_secs": wall_secs, "cpu_secs": 1.0, "peak_rss_bytes": 1, "sync_secs": 0.0,
            "stored_bytes": 100.0 * wall_secs, "allocated_bytes": 1,
        })
    };
    let report = json!({
        "corpora": [{"name": "media"}],
        "tools": [
            {"name": "coffer", "partial": {}},
            {"name": "restic", "partial": {}},
            {"name": "bupstash", "partial": {"verify": "less"}},
        ],
        "rows": [
            // The median of three, not their mean or their best.
            row("first", "coffer", 1.0, ""), row("first", "coffer", 9.0, ""),
            row("first", "coffer", 2.0, ""),
            row("first", "restic", 5.0, ""), row("first", "bupstash", 4.0, ""),
            // A failure is no figure.
            row("restore", "coffer", 2.0, ""), row("restore", "restic", 6.0, ""),
            row("restore", "bupstash", 1.0, "the restore differs"),
            // Nor is part of a step.
            row("verify", "coffer", 4.0, ""), row("verify", "restic", 2.0, ""),
            row("verify", "bupstash", 1.0, ""),
        ],
    });
    let wanted = [
        ["time", "media"],
        ["first", "2.00 (bupstash)"],
        ["restore", "3.00 (restic)"],
        ["verify", "0.50 (restic)"],
        ["bytes stored by all backups", "2.00 (bupstash)"],
    ];
    assert_eq!(summary(&report), wanted);
}
