//! Notes and findings outside long work: while a repository is opened and its snapshots are read, and in a watch.

use coffer_engine::observe::{Event, Observer};

use super::{escape, stderr_json, stderr_line, tell_problem};
use crate::process::Interrupt;

/// Tells notes, warnings and damage on standard error, and nothing else.
pub struct Watcher {
    as_json: bool,
    quiet: bool,
    interrupt: Interrupt,
}

/// A line for a program.
#[derive(serde::Serialize)]
struct Line<'a> {
    message_type: &'static str,
    message: &'a str,
}

impl Watcher {
    /// A watcher that tells as the global options ask.
    #[must_use]
    pub fn new(as_json: bool, quiet: bool, interrupt: Interrupt) -> Self {
        Self { as_json, quiet, interrupt }
    }

    fn tell(&self, message_type: &'static str, word: &str, message: &str) {
        if self.as_json {
            stderr_json(&Line { message_type, message });
        } else {
            stderr_line(&format!("coffer: {word}: {}", escape::text(message)));
        }
    }
}

impl Observer for Watcher {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::SourceProblem(problem) => tell_problem(problem, self.as_json),
            Event::Warning(what) => self.tell("warning", "warning", what),
            Event::Finding(what) => self.tell("error", "damage", what),
            Event::Note(what) if !self.quiet => self.tell("note", "note", what),
            _ => {}
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.is_set()
    }
}
