//! Runs the commands of the manual, so that what it shows works. The convention, for writers:
//!
//! - A fenced block ```` ```console ```` holds commands, lines that begin with `$ `, each followed by
//!   what it printed. A command that ends with another status than 0 has the last line `[exit N]`.
//! - An HTML comment that begins with `<!-- console` holds commands that are run and not shown.
//! - The commands of a page run in order in one shell: variables stay set. The home folder is a new
//!   one, the current folder is in it and holds a copy of `docs`.
//! - `/tmp/`, `/mnt/` and `/srv/` are folders of the test's own. `cargo run --release -p coffer --`
//!   is the program under test.
//!
//! Output is not compared: ids and times differ from run to run.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const STAND_INS: [&str; 3] = ["/tmp/", "/mnt/", "/srv/"];
const BUILT_BY_CARGO: &str = "cargo run --release -p coffer --";

/// A command of a page.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    line: usize,
    command: String,
    status: u8,
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn pages() -> Vec<PathBuf> {
    let root = workspace();
    let folder = fs::read_dir(root.join("docs/src")).unwrap();
    let mut pages: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    pages.push(root.join("README.md"));
    pages.retain(|page| page.extension().is_some_and(|ending| ending == "md"));
    pages.sort();
    pages
}

fn commands(page: &str) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    let mut inside = false;
    for (line, text) in page.lines().enumerate().map(|(index, text)| (index + 1, text)) {
        match text {
            "```console" | "<!-- console" => inside = true,
            "```" | "-->" => inside = false,
            _ if !inside => {}
            _ => {
                if let Some(command) = text.strip_prefix("$ ") {
                    shown.push(Shown { line, command: command.to_owned(), status: 0 });
                } else if let Some(status) = text.strip_prefix("[exit ") {
                    let last = shown.last_mut().expect("a status follows a command");
                    last.status = status.trim_end_matches(']').parse().expect("a status");
                }
            }
        }
    }
    shown
}

/// One script of all commands, which stops at the first that ends otherwise than shown.
fn script(page: &str, scratch: &Path) -> String {
    let mut script = "set -o pipefail\n".to_owned();
    for Shown { line, command, status } in commands(page) {
        let command = below(scratch, &command.replace(BUILT_BY_CARGO, "coffer"));
        let check =
            format!("[ $status = {status} ] || {{ echo \"line {line}: status $status\" >&2;");
        writeln!(script, "{command}\nstatus=$?\n{check} exit 99; }}").unwrap();
    }
    script
}

/// The command with its stand-ins below `scratch`, in one pass: the scratch folder may be in one.
fn below(scratch: &Path, command: &str) -> String {
    let mut out = String::new();
    for (at, c) in command.char_indices() {
        if STAND_INS.iter().any(|stand_in| command[at..].starts_with(stand_in)) {
            out.push_str(scratch.to_str().unwrap());
        }
        out.push(c);
    }
    out
}

/// Runs the commands of a page; false if it has none.
fn run(page: &Path) -> bool {
    let text = fs::read_to_string(page).unwrap();
    if commands(&text).is_empty() {
        return false;
    }
    let scratch = tempfile::tempdir().unwrap();
    let (home, bin) = (scratch.path().join("home"), scratch.path().join("bin"));
    let here = home.join("here");
    for folder in ["tmp", "mnt", "srv", "bin", "home/here"] {
        fs::create_dir_all(scratch.path().join(folder)).unwrap();
    }
    let program = env!("CARGO_BIN_EXE_coffer-under-test");
    std::os::unix::fs::symlink(program, bin.join("coffer")).unwrap();
    let copied = Command::new("cp").arg("-r").arg(workspace().join("docs")).arg(&here).status();
    assert!(copied.unwrap().success());
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("bash");
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("COFFER_") || name.starts_with("XDG_") {
            shell.env_remove(name);
        }
    }
    shell.arg("-c").arg(script(&text, scratch.path())).current_dir(&here);
    shell.env("PATH", path).env("HOME", &home).stdin(Stdio::null());
    let output = shell.output().unwrap();
    let (told, errors) = (&output.stdout, &output.stderr);
    assert!(
        output.status.success(),
        "{}: {}\n{}\n{}",
        page.display(),
        output.status,
        String::from_utf8_lossy(told),
        String::from_utf8_lossy(errors)
    );
    true
}

#[test]
fn the_commands_of_the_manual_end_as_it_shows() {
    let run_count = pages().iter().filter(|page| run(page)).count();
    assert!(run_count >= 5, "only {run_count} pages have commands");
}

#[test]
fn pages_name_only_pages_that_exist() {
    let mut missing = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split([')', '#']).next().unwrap_or_default();
            let is_local = !link.is_empty() && !link.contains("://");
            if is_local && !page.parent().unwrap().join(link).exists() {
                missing.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "\n{}\n", missing.join("\n"));
}

#[test]
fn commands_are_found_in_pages() {
    let page = "```console\n$ a\nout\n$ b\n[exit 4]\n```\n$ no\n<!-- console\n$ c\n-->\n";
    let found: Vec<_> = commands(page).into_iter().map(|one| (one.command, one.status)).collect();
    assert_eq!(found, [("a".to_owned(), 0), ("b".to_owned(), 4), ("c".to_owned(), 0)]);
}
