//! Progress and problems while a command works: a status line, JSON lines, or occasional text.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use coffer_engine::error::SourceError;
use coffer_engine::observe::{Action, Event, Observer, Progress};
use coffer_engine::restore::RestoreProblem;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{escape, item_error, json, stderr_json, stderr_line, tell_problem, units};
use crate::args::GlobalArgs;
use crate::process::Interrupt;

/// A terminal and a program get at most ten lines a second, a log one in ten seconds.
const LIVE_EVERY: Duration = Duration::from_millis(100);
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Messages held back until the end of the command.
const HELD_COUNT_MAX: usize = 1000;

/// What the numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Backup,
    Restore,
    Check,
    Prune,
}

enum Style {
    Nothing,
    Terminal(ProgressBar),
    Json,
    Log,
}

/// The observer of a command.
pub struct Reporter {
    task: Task,
    style: Style,
    as_json: bool,
    quiet: bool,
    entries: bool,
    started: Instant,
    interrupt: Interrupt,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    told: Option<Instant>,
    /// Kind and text of what the command's result may tell better.
    held: Vec<(&'static str, String)>,
}

impl Reporter {
    /// A reporter in the style that the options and the terminal ask for. Single entries are named
    /// with `-vv`, and with `-v` in a `rehearsal` (a dry run).
    #[must_use]
    pub fn new(task: Task, global: &GlobalArgs, rehearsal: bool, interrupt: Interrupt) -> Self {
        let style = if global.quiet {
            Style::Nothing
        } else if global.json {
            Style::Json
        } else if std::io::stderr().is_terminal() {
            Style::Terminal(status_line())
        } else if global.verbose > 0 {
            Style::Log
        } else {
            Style::Nothing
        };
        let entries = global.verbose >= if rehearsal { 1 } else { 2 };
        Self {
            task,
            style,
            as_json: global.json,
            quiet: global.quiet,
            entries,
            started: Instant::now(),
            interrupt,
            state: Mutex::default(),
        }
    }

    /// Time since the command began its work.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes the status line away; call before results are printed.
    pub fn clear(&self) {
        if let Style::Terminal(bar) = &self.style {
            bar.finish_and_clear();
        }
    }

    /// Tells what was held back for a result that does not come, because the command failed.
    pub fn tell_held(&self) {
        let held = std::mem::take(&mut self.lock().held);
        held.iter().for_each(|(kind, text)| self.tell(kind, text));
    }

    /// Tells the problems of a restore that were not told when they came.
    pub fn tell_problems(&self, problems: &[RestoreProblem]) {
        for problem in problems {
            if self.as_json {
                item_error(&problem.path, &problem.what, "restore");
            } else if self.quiet && !problem.is_damage {
                let (path, what) = (escape::path(&problem.path), escape::text(&problem.what));
                stderr_line(&format!("coffer: warning: {path}: {what}"));
            }
        }
        let told: HashSet<String> = problems.iter().map(ToString::to_string).collect();
        self.lock().held.retain(|(_, text)| !told.contains(text));
        self.tell_held();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn progress(&self, progress: &Progress) {
        let every = match self.style {
            Style::Nothing => return,
            Style::Terminal(_) | Style::Json => LIVE_EVERY,
            Style::Log => LOG_EVERY,
        };
        // Another thread that is telling right now tells enough.
        let Ok(mut state) = self.state.try_lock() else { return };
        if state.told.unwrap_or(self.started).elapsed() < every {
            return;
        }
        state.told = Some(Instant::now());
        drop(state);
        match &self.style {
            Style::Nothing => {}
            Style::Terminal(bar) => {
                bar.set_message(status_text(self.task, progress, self.elapsed()));
                bar.tick();
            }
            Style::Log => stderr_line(&status_text(self.task, progress, self.elapsed())),
            Style::Json => print_json(&status_json(self.task, progress, self.elapsed())),
        }
    }

    fn entry(&self, action: Action, path: &[u8], bytes: u64) {
        if !self.entries {
            return;
        }
        let word = action_word(self.task, action);
        if self.as_json {
            let json::PathText { text: item, base64: item_b64 } = json::PathText::absolute(path);
            let message_type =
                if action == Action::Excluded { "excluded_item" } else { "verbose_status" };
            let backup = self.task == Task::Backup;
            print_json(&json::VerboseStatus {
                message_type,
                action: word,
                item,
                item_b64,
                data_size: backup.then_some(bytes),
                size: (!backup).then_some(bytes),
            });
            return;
        }
        let size = if bytes > 0 { format!(" ({})", units::bytes(bytes)) } else { String::new() };
        self.aside(|| print_line(&format!("{word:<10} {}{size}", escape::path(path))));
    }

    fn problem(&self, problem: &SourceError) {
        self.aside(|| tell_problem(problem, self.as_json));
    }

    /// Keeps a message for [`Self::tell_held`].
    fn hold(&self, kind: &'static str, text: &str) {
        let held = &mut self.lock().held;
        if held.len() < HELD_COUNT_MAX {
            held.push((kind, text.to_owned()));
        }
    }

    fn tell(&self, kind: &'static str, message: &str) {
        if self.as_json {
            stderr_json(&json::Message { message_type: kind, message });
        } else {
            let line = format!("coffer: {kind}: {}", escape::text(message));
            self.aside(|| stderr_line(&line));
        }
    }

    /// Prints without tearing the status line.
    fn aside(&self, print: impl FnOnce()) {
        match &self.style {
            Style::Terminal(bar) => bar.suspend(print),
            _ => print(),
        }
    }
}

impl Observer for Reporter {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Progress(progress) => self.progress(&progress),
            Event::Entry { action, path, bytes } => self.entry(action, path, bytes),
            Event::SourceProblem(problem) => self.problem(problem),
            // The report tells findings with what they touch.
            Event::Finding(finding) if self.task == Task::Check => self.hold("error", finding),
            // The summary of a restore has the path of each problem apart.
            Event::Finding(finding) if self.task == Task::Restore && self.as_json => {
                self.hold("error", finding);
            }
            Event::Note(note) if self.task == Task::Restore && self.as_json => {
                self.hold("note", note);
            }
            Event::Finding(finding) => self.tell("error", finding),
            Event::Warning(what) => self.tell("warning", what),
            Event::Note(note) if !self.quiet => self.tell("note", note),
            Event::Note(_) => {}
        }
    }

    fn wants_entries(&self) -> bool {
        self.entries
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.is_set()
    }
}

fn status_line() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    // The template is a constant; without it the bar has its default looks.
    if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
        bar.set_style(style);
    }
    bar
}

fn status_text(task: Task, progress: &Progress, elapsed: Duration) -> String {
    let of =
        |total: String, known: bool| if known { format!(" of {total}") } else { String::new() };
    // A prune counts snapshots while it marks, then packs.
    let noun = if task == Task::Prune { "steps" } else { "files" };
    let mut text = format!(
        "[{}] {}{} {noun}",
        units::duration(elapsed),
        progress.files_done,
        of(progress.files_total.to_string(), progress.files_total > 0),
    );
    if task != Task::Prune {
        text.push_str(&format!(
            ", {}{}",
            units::bytes(progress.bytes_done),
            of(units::bytes(progress.bytes_total), progress.bytes_total > 0),
        ));
    }
    if progress.bytes_written > 0 {
        text.push_str(&format!(", {} written", units::bytes(progress.bytes_written)));
    }
    if progress.errors > 0 {
        text.push_str(&format!(", {} errors", progress.errors));
    }
    if let Some(left) = remaining(progress, elapsed) {
        text.push_str(&format!(", {} left", units::duration(left)));
    }
    text
}

fn status_json(task: Task, progress: &Progress, elapsed: Duration) -> json::Status {
    let restore = task == Task::Restore;
    let (files, bytes) = (progress.files_done, progress.bytes_done);
    json::Status {
        message_type: "status",
        seconds_elapsed: elapsed.as_secs(),
        seconds_remaining: remaining(progress, elapsed).map(|left| left.as_secs()),
        percent_done: share_done(progress).unwrap_or(0.0),
        total_files: progress.files_total,
        files_done: (!restore).then_some(files),
        files_restored: restore.then_some(files),
        total_bytes: progress.bytes_total,
        bytes_done: (!restore).then_some(bytes),
        bytes_restored: restore.then_some(bytes),
        error_count: progress.errors,
    }
}

/// The part done, from 0 to 1; none while the total is not known.
fn share_done(progress: &Progress) -> Option<f64> {
    (progress.bytes_total > 0)
        .then(|| (progress.bytes_done as f64 / progress.bytes_total as f64).min(1.0))
}

fn remaining(progress: &Progress, elapsed: Duration) -> Option<Duration> {
    let share = share_done(progress).filter(|share| *share > 0.01)?;
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * (1.0 - share) / share).ok()
}

fn action_word(task: Task, action: Action) -> &'static str {
    match action {
        Action::New => "new",
        Action::Changed if task == Task::Restore => "updated",
        Action::Changed => "modified",
        Action::Unmodified => "unchanged",
        Action::Excluded => "excluded",
        Action::Restored => "restored",
        Action::Skipped => "skipped",
        Action::Removed => "deleted",
    }
}

fn print_json(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        print_line(&text);
    }
}

/// Progress goes to whoever listens; that nobody does is no reason to stop a backup.
fn print_line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_no_nonsense_before_totals_are_known() {
        let unknown = Progress { files_done: 3, bytes_done: 2048, ..Progress::default() };
        let text = |task| status_text(task, &unknown, Duration::from_secs(2));
        assert_eq!(text(Task::Backup), "[2.0 s] 3 files, 2.0 KiB");
        assert_eq!(text(Task::Prune), "[2.0 s] 3 steps");
        let status = status_json(Task::Backup, &unknown, Duration::from_secs(2));
        assert!(status.percent_done == 0.0 && status.seconds_remaining.is_none());
        let half = Progress { bytes_total: 4096, ..unknown };
        let status = status_json(Task::Restore, &half, Duration::from_secs(2));
        assert!(status.percent_done == 0.5 && status.seconds_remaining == Some(2));
        assert!(status.files_restored == Some(3) && status.files_done.is_none());
    }
}
