use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use coffer_engine::backup::{BackupOptions, BackupSummary, DatabaseSource, SourceOptions, backup};
use coffer_engine::repo::{OldBytes, Repository};
use coffer_engine::source::secrets::SecretsSource;
use coffer_engine::source::sqlite::SqliteOptions;
use coffer_engine::source::stream::{Input, StreamSource};
use coffer_engine::source::tree::TreeOptions;

use super::{Context, databases, existing_store, init, unusable};
use crate::args::values::{Kdf, path_list};
use crate::args::{BackupArgs, PasswordPolicyArgs};
use crate::exit::{Code, Failure, Result};
use crate::output::progress::Task;
use crate::output::{Stdout, json, units};
use crate::process::{self, InterruptibleStdin};
use crate::settings::{Settings, absolute};

/// Stores files, folders or a stream.
///
/// # Errors
/// Fails with code 3 when something could not be read and the rest is stored.
pub fn run(context: &Context, args: BackupArgs) -> Result<()> {
    let settings = context.settings()?;
    // Mistakes are told before a password is asked for and before a repository is made.
    let databases = databases::find(&args.sqlite)?;
    let tree = tree_options(&args, &settings, &databases)?.map(SourceOptions::tree);
    let mut sources: Vec<_> = databases.into_iter().map(SourceOptions::Sqlite).collect();
    sources.extend(streams(context, &args)?);
    sources.extend(tree);
    sources.extend(secrets(&args)?.map(SourceOptions::Secrets));
    let sqlite = databases::options(&args);
    let old_bytes = settings.old_bytes(args.old_bytes, &context.environment)?;
    let repository = open_or_init(context, &settings, &args)?;
    let dry_run = args.dry_run;
    let options = BackupOptions { old_bytes, ..options(args, sources, sqlite) };
    let reporter = context.reporter(Task::Backup, dry_run);
    let result = backup(&repository, options, &reporter);
    reporter.clear();
    let summary = result?;
    // What became of the backup weighs more than a standard output that nobody reads.
    let told = tell(context, &summary, dry_run);
    outcome(&summary, dry_run).and(told)
}

fn open_or_init(context: &Context, settings: &Settings, args: &BackupArgs) -> Result<Repository> {
    match existing_store(settings)? {
        Some(store) => context.unlock(settings, store),
        None if args.init => {
            let policy = PasswordPolicyArgs {
                kdf: args.kdf.unwrap_or(Kdf::Default),
                allow_weak_password: args.allow_weak_password,
            };
            init::create(context, settings, &policy, init::tuning(args.tuned.as_deref())?)
        }
        None => Err(Failure::no_repository(&settings.shown())),
    }
}

/// Standard input and the outputs of commands.
fn streams(context: &Context, args: &BackupArgs) -> Result<Vec<SourceOptions>> {
    if args.command.len() != args.name.len() {
        let what = "each --command needs a --name, the file its output becomes";
        return Err(Failure::usage(what));
    }
    let mut streams = Vec::new();
    for (line, name) in args.command.iter().zip(&args.name) {
        let input = Input::Command(line.clone());
        streams.push(SourceOptions::Stream(stream("--name", name, input)?));
    }
    if args.stdin {
        let input = Input::Reader(Box::new(InterruptibleStdin::new(context.interrupt.clone())));
        let stdin = stream("--stdin-filename", &args.stdin_filename, input)?;
        streams.push(SourceOptions::Stream(stdin));
    }
    Ok(streams)
}

/// Files, settings and outputs of commands that are secret; none if there are none.
fn secrets(args: &BackupArgs) -> Result<Option<SecretsSource>> {
    if args.secret_command.len() != args.secret_name.len() {
        let what = "each --secret-command needs a --secret-name, the file its output becomes";
        return Err(Failure::usage(what));
    }
    let mut commands = Vec::new();
    for (line, name) in args.secret_command.iter().zip(&args.secret_name) {
        commands.push(stream("--secret-name", name, Input::Command(line.clone()))?);
    }
    let all = |paths: &[PathBuf]| paths.iter().map(|path| absolute(path)).collect::<Result<_>>();
    let source = SecretsSource {
        name: "secrets".to_owned(),
        paths: all(&args.secrets)?,
        environment_files: all(&args.secret_env)?,
        commands,
    };
    Ok((!source.is_empty()).then_some(source))
}

/// The stream's name becomes the path of an entry.
fn stream(option: &str, name: &str, input: Input) -> Result<StreamSource> {
    let stream = StreamSource { name: name.trim_start_matches('/').to_owned(), input };
    match stream.path() {
        Ok(_) => Ok(stream),
        Err(_) => Err(Failure::usage(format!("{option} needs the name or path of a file"))),
    }
}

/// What to read of the file system; none if only a stream is stored.
fn tree_options(
    args: &BackupArgs,
    settings: &Settings,
    databases: &[DatabaseSource],
) -> Result<Option<TreeOptions>> {
    let mut roots: Vec<PathBuf> = Vec::new();
    for path in &args.paths {
        roots.push(absolute(path)?);
    }
    let lists = args.files_from.iter().map(|file| (file, b'\n'));
    for (file, separator) in lists.chain(args.files_from0.iter().map(|file| (file, 0))) {
        if args.stdin && file.as_os_str() == "-" {
            return Err(Failure::usage(
                "standard input cannot be both a list of paths and what is stored",
            ));
        }
        let bytes = read_list(file).map_err(|error| unusable(file, &error))?;
        for path in path_list(&bytes, separator) {
            roots.push(absolute(Path::new(&path))?);
        }
    }
    let has_others = args.stdin
        || !args.command.is_empty()
        || !databases.is_empty()
        || !args.secrets.is_empty()
        || !args.secret_env.is_empty()
        || !args.secret_command.is_empty();
    if roots.is_empty() && !has_others {
        return Err(Failure::usage("the lists of paths are empty: there is nothing to store"));
    }
    let options = super::tree_options(roots, &args.selection, settings.own_folders())?;
    Ok((!options.roots.is_empty()).then_some(options))
}

fn read_list(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes)?;
    } else {
        File::open(file)?.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn options(
    args: BackupArgs,
    sources: Vec<SourceOptions>,
    sqlite: Option<SqliteOptions>,
) -> BackupOptions {
    BackupOptions {
        sources,
        sqlite,
        host: args.host.unwrap_or_else(process::host_name),
        job: args.job,
        tags: args.tag.into_iter().filter(|tag| !tag.is_empty()).collect(),
        force: args.force,
        dry_run: args.dry_run,
        checkpoint_interval: Some(args.checkpoint_interval).filter(|it| !it.is_zero()),
        secret_scan: !args.no_secret_scan,
        deltas: !args.no_delta,
        old_bytes: OldBytes::default(),
        watched: false,
        zstd_level: args.compression.level(),
        racy_window_ns: i64::try_from(args.racy_window.as_nanos()).unwrap_or(i64::MAX),
        tool: concat!("coffer ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

fn tell(context: &Context, summary: &BackupSummary, dry_run: bool) -> Result<()> {
    let mut out = Stdout::new()?;
    if context.global.json {
        out.json(&json::BackupLine::new(summary, dry_run))?;
        return out.finish();
    }
    if !context.global.quiet {
        for line in lines(summary, dry_run) {
            out.line(&line)?;
        }
    }
    out.finish()
}

fn lines(summary: &BackupSummary, dry_run: bool) -> Vec<String> {
    let totals = &summary.totals;
    let mut lines = vec![
        format!(
            "files: {} new, {} changed, {} unchanged",
            totals.files_new, totals.files_changed, totals.files_unmodified
        ),
        format!(
            "data: {}, of which {} new; {} stored",
            units::bytes(totals.bytes),
            units::bytes(totals.data_added),
            units::bytes(totals.data_stored)
        ),
    ];
    match summary.snapshot_id {
        Some(id) => lines.push(format!(
            "snapshot {} saved in {}",
            json::short(&id.to_string()),
            units::duration(summary.duration())
        )),
        None if dry_run => lines.push("nothing was stored: this was a dry run".into()),
        None => {}
    }
    lines
}

fn outcome(summary: &BackupSummary, dry_run: bool) -> Result<()> {
    if summary.snapshot_id.is_none() && !dry_run {
        return Err(Failure::new(Code::Failed, "no source could be read: nothing is stored"));
    }
    if summary.errors > 0 {
        let message = format!(
            "{} could not be read; the rest is stored",
            units::count(summary.errors, "entry", "entries")
        );
        return Err(Failure::new(Code::Partial, message));
    }
    if summary.partial {
        return Err(Failure::new(
            Code::Partial,
            "a source could not be read whole; the rest is stored",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffer_engine::model::{SnapshotId, Totals};

    fn code(id: Option<u8>, partial: bool, errors: u64, dry_run: bool) -> u8 {
        let summary = BackupSummary {
            snapshot_id: id.map(|byte| SnapshotId([byte; 16])),
            partial,
            totals: Totals::default(),
            errors,
            damaged: 0,
            parent: None,
            directories: 0,
            started_ns: 0,
            finished_ns: 0,
        };
        outcome(&summary, dry_run).map_or_else(|failure| failure.code.number(), |()| 0)
    }

    #[test]
    fn what_was_read_decides_the_exit_code() {
        assert_eq!(code(Some(1), false, 0, false), 0);
        assert_eq!(code(None, false, 0, true), 0);
        assert_eq!(code(Some(1), true, 0, false), 3);
        assert_eq!(code(Some(1), true, 2, false), 3);
        assert_eq!(code(None, true, 2, true), 3);
        assert_eq!(code(None, true, 1, false), 1);
    }
}
