//! One run of the binary, and what it said.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than any run takes on a slow machine; a run that hangs is a failure.
const RUN_MAX: Duration = Duration::from_secs(300);

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    /// The arguments, for messages.
    pub args: String,
    /// None after a signal.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Run {
    /// Expects exit code 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.ends_with(0)
    }

    /// Expects a failure with `code` that says why on standard error.
    #[track_caller]
    pub fn fails_with(self, code: i32) -> Self {
        assert_ne!(code, 0);
        let run = self.ends_with(code);
        assert!(!run.stderr.is_empty(), "{}: failed without a word", run.args);
        run
    }

    #[track_caller]
    fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}\n{}", self.args, self.text(), self.errors());
        self
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Every line of standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        parse_lines(&self.stdout)
    }

    /// Every line of standard error as JSON.
    #[track_caller]
    pub fn json_errors(&self) -> Vec<Value> {
        parse_lines(&self.stderr)
    }

    /// The last line of standard output, which is a summary.
    #[track_caller]
    pub fn summary(&self) -> Value {
        let last = self.json().pop().expect("a line");
        assert_eq!(last["message_type"], "summary", "{last}");
        last
    }

    /// The id of the snapshot that was saved.
    #[track_caller]
    pub fn snapshot_id(&self) -> String {
        self.summary()["snapshot_id"].as_str().expect("a snapshot id").to_owned()
    }
}

#[track_caller]
fn parse_lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("JSON is UTF-8");
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
    text.lines().map(parse).collect()
}

/// Runs a command to its end, with `input` on its standard input if given.
#[must_use]
pub fn finish(command: &mut Command, input: Option<&[u8]>) -> Run {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    run(command.stdout(Stdio::piped()), input)
}

/// Runs a command to its end; `stdout` takes what it writes.
#[must_use]
pub fn finish_to(command: &mut Command, stdout: Stdio) -> Run {
    run(command.stdout(stdout), None)
}

fn run(command: &mut Command, input: Option<&[u8]>) -> Run {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let args = command.get_args().map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let stdin = child.stdin.take();
    thread::scope(|scope| {
        let stdout = scope.spawn(|| read(stdout));
        let stderr = scope.spawn(|| read(stderr));
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A run that refuses early closes its end.
            scope.spawn(move || drop(stdin.write_all(input)));
        }
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if started.elapsed() > RUN_MAX {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            thread::sleep(Duration::from_millis(2));
        };
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        let Some(status) = status else {
            panic!("{args}: hangs\n{}", String::from_utf8_lossy(&stderr));
        };
        Run { args, code: status.code(), stdout, stderr }
    })
}

fn read(from: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Some(mut from) = from else { return bytes };
    from.read_to_end(&mut bytes).unwrap();
    bytes
}
