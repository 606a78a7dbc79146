use std::path::PathBuf;

use coffer_engine::error::Kind;
use coffer_engine::source::tree::TreeOptions;
use coffer_engine::tune::{CONTENT_LEN_MIN, Reason, Sampled, TuneOptions, Tuned, tune};

use super::{Context, tree_options};
use crate::args::TuneArgs;
use crate::exit::{Code, Failure, Result};
use crate::output::progress::Task;
use crate::output::{Stdout, json, stderr_line, table, units};
use crate::settings::absolute;
use crate::tuning_file;

/// Measures which settings suit the user's files, and recommends some.
///
/// # Errors
/// Fails with code 3 when something could not be read and the rest was measured.
pub fn run(context: &Context, args: &TuneArgs) -> Result<()> {
    // Before minutes of work.
    args.save.as_deref().map_or(Ok(()), tuning_file::check_new)?;
    let options = TuneOptions {
        tree: tree(context, args)?,
        sample_len: args.sample,
        seed: args.seed,
        memory: context.memory(),
    };
    let reporter = context.reporter(Task::Backup, false);
    let result = tune(&options, &reporter);
    reporter.clear();
    let tuned = result.map_err(|error| match error.kind() {
        Kind::Input => Failure::from(error).hint("give a larger --sample"),
        Kind::NotFound => Failure::from(error).hint("name files or folders that hold some data"),
        _ => error.into(),
    })?;
    if let Some(path) = &args.save {
        tuning_file::save(path, &tuned.chosen().tuning)?;
    }
    tell(context, &tuned, args)?;
    outcome(&tuned.sampled)
}

fn tree(context: &Context, args: &TuneArgs) -> Result<TreeOptions> {
    let roots = args.paths.iter().map(|path| absolute(path)).collect::<Result<Vec<PathBuf>>>()?;
    // No repository is needed; if one is named, a backup leaves it and its folders out.
    let skip = context.settings().map(|settings| settings.own_folders()).unwrap_or_default();
    tree_options(roots, &args.selection, skip)
}

fn tell(context: &Context, tuned: &Tuned, args: &TuneArgs) -> Result<()> {
    let why = why(tuned);
    let mut out = Stdout::new()?;
    if context.global.json {
        out.json(&json::TuneLine::new(tuned, &why))?;
        return out.finish();
    }
    out.line(&sampled(&tuned.sampled))?;
    out.line("")?;
    out.line(&table::tuned(tuned))?;
    out.line("")?;
    out.line(&format!("recommended: {}", units::tuning(&tuned.chosen().tuning)))?;
    out.line(&why)?;
    out.finish()?;
    if let (Some(path), false) = (&args.save, context.global.quiet) {
        use std::os::unix::ffi::OsStrExt;
        let shown = crate::output::escape::name(path.as_os_str().as_bytes());
        stderr_line(&format!("saved; make a repository with `coffer init --tuned {shown}`"));
    }
    Ok(())
}

fn sampled(of: &Sampled) -> String {
    format!(
        "sampled {} of {} from {} of {}",
        units::bytes(of.bytes),
        units::bytes(of.bytes_total),
        of.files,
        units::count(of.files_total, "file", "files"),
    )
}

/// The reason in words.
fn why(tuned: &Tuned) -> String {
    let (default, chosen) = (&tuned.measured[0], tuned.chosen());
    match tuned.choice.reason {
        Reason::TooLittle => format!(
            "the default, since {} of content are too little to tell: {} are needed",
            units::bytes(tuned.sampled.content_bytes),
            units::bytes(CONTENT_LEN_MIN)
        ),
        Reason::NoneIsSmaller => "the default, since nothing else saves more than 1 % without \
            taking more than twice the time or too large an index"
            .into(),
        Reason::Smaller => format!(
            "it takes {:.1} % less room than the default, index included, and {:.2} times its time",
            (1.0 - chosen.size() as f64 / default.size().max(1) as f64) * 100.0,
            chosen.relative_time
        ),
    }
}

fn outcome(sampled: &Sampled) -> Result<()> {
    if sampled.errors == 0 {
        return Ok(());
    }
    let entries = units::count(sampled.errors, "entry", "entries");
    Err(Failure::new(Code::Partial, format!("{entries} could not be read; the rest was measured")))
}
