//! The command line of Coffer: arguments into engine calls, findings into text or JSON.

pub mod args;
mod commands;
mod credentials;
mod environment;
pub mod exit;
mod key_file;
mod output;
mod password_policy;
mod process;
mod settings;
mod tuning_file;

use std::process::ExitCode;

use clap::error::ErrorKind;

use coffer_engine::source::sqlite::WORKER;

use crate::args::Cli;
use crate::environment::Environment;
use crate::exit::{Code, Failure};
use crate::process::Interrupt;

/// Runs the command line of this process and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    process::forbid_core_dumps();
    if std::env::args_os().nth(1).is_some_and(|argument| argument == WORKER) {
        return ExitCode::from(u8::from(coffer_engine::backup::serve_sqlite().is_err()));
    }
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error),
    };
    let as_json = cli.global.json;
    if cli.global.memory.is_some() {
        process::give_memory_back();
    }
    let result = Interrupt::listen()
        .map_err(|error| Failure::new(Code::Failed, format!("signal handlers: {error}")))
        .and_then(|interrupt| commands::run(cli, Environment::of_process(), interrupt));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::tell_failure(&failure, as_json);
            ExitCode::from(failure.code.number())
        }
    }
}

/// Prints help and the version, which clap takes for errors too, or tells the mistake.
fn not_parsed(error: &clap::Error) -> ExitCode {
    let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if is_answer || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // There is nowhere to tell that this failed.
        let _ = error.print();
    } else {
        let as_json = std::env::args_os().any(|argument| argument == "--json");
        let failure = Failure::usage(mistake(&error.render().to_string()))
            .hint("`coffer COMMAND --help` has the options and examples");
        output::tell_failure(&failure, as_json);
    }
    ExitCode::from(if is_answer { 0 } else { Code::Usage.number() })
}

/// What clap says is wrong, on one line, without the usage after it.
fn mistake(rendered: &str) -> String {
    let text = rendered.trim_start_matches("error: ");
    let end = ["\n\nUsage:", "\n\nFor more information"].map(|mark| text.find(mark));
    let end = end.into_iter().flatten().min().unwrap_or(text.len());
    text[..end].split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn a_mistake_is_told_on_one_line() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap_err().render();
        let text = mistake(&parse("coffer backup").to_string());
        assert_eq!(text, "the following required arguments were not provided: <PATH>...");
        let text = mistake(&parse("coffer ls ab --jsn").to_string());
        assert!(text.starts_with("unexpected argument '--jsn' found") && text.contains("--json"));
    }
}
