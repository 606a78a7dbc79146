//! What the commands do: open, call the engine, tell the result.

mod backup;
mod cat;
mod completions;
mod databases;
mod diff;
mod find;
mod forget;
mod init;
mod key;
mod ls;
mod man;
mod mount;
mod prune;
mod restore;
mod snapshots;
mod stats;
mod tune;
mod verify;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffer_engine::error::Kind;
use coffer_engine::model::Snapshot;
use coffer_engine::model::{Clock, Entropy, MemoryBound};
use coffer_engine::repo::{Filter, OpenOptions, Repository};
use coffer_engine::source::tree::TreeOptions;
use coffer_engine::store::{LocalStore, Store};

use crate::args::{Cli, Command, FilterArgs, GlobalArgs, SelectionArgs};
use crate::credentials::Given;
use crate::environment::Environment;
use crate::exit::{Code, Failure, Result};
use crate::output::progress::{Reporter, Task};
use crate::output::watcher::Watcher;
use crate::process::Interrupt;
use crate::settings::Settings;

/// What every command is given.
pub struct Context {
    pub global: GlobalArgs,
    pub environment: Environment,
    pub interrupt: Interrupt,
}

/// Runs one command.
///
/// # Errors
/// The failure to tell, with its exit code.
pub fn run(cli: Cli, environment: Environment, interrupt: Interrupt) -> Result<()> {
    let context = Context { global: cli.global, environment, interrupt };
    dispatch(&context, cli.command).map_err(|failure| {
        // A command that was asked to stop fails in many ways: one is told.
        let stopped = context.interrupt.is_set() && failure.code == Code::Failed;
        if stopped { Failure::interrupted() } else { failure }
    })
}

fn dispatch(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Init(args) => init::run(context, &args),
        Command::Backup(args) => backup::run(context, *args),
        Command::Snapshots(args) => snapshots::run(context, &args),
        Command::Ls(args) => ls::run(context, &args),
        Command::Find(args) => find::run(context, &args),
        Command::Diff(args) => diff::run(context, &args),
        Command::Stats(args) => stats::run(context, &args),
        Command::Cat(args) => cat::run(context, &args),
        Command::Restore(args) => restore::run(context, args),
        Command::Mount(args) => mount::run(context, &args),
        Command::Check => verify::check(context),
        Command::Verify => verify::verify(context),
        Command::Tune(args) => tune::run(context, &args),
        Command::Watch(args) => watch::run(context, &args),
        Command::Forget(args) => forget::run(context, &args),
        Command::Prune(args) => prune::run(context, &args),
        Command::Key(args) => key::run(context, &args.command),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

impl Context {
    fn settings(&self) -> Result<Settings> {
        Settings::new(&self.global, &self.environment)
    }

    fn given(&self) -> Result<Given> {
        Given::new(&self.global, &self.environment)
    }

    /// An observer for everything but long work.
    fn watcher(&self) -> Watcher {
        Watcher::new(self.global.json, self.global.quiet, self.interrupt.clone())
    }

    fn reporter(&self, task: Task, rehearsal: bool) -> Reporter {
        Reporter::new(task, &self.global, rehearsal, self.interrupt.clone())
    }

    /// What the command may take.
    fn memory(&self) -> MemoryBound {
        self.global.memory.map_or_else(MemoryBound::default, MemoryBound::new)
    }

    /// Opens the repository; nobody is asked for a password of one that is not there.
    fn open(&self) -> Result<Repository> {
        let settings = self.settings()?;
        let store =
            existing_store(&settings)?.ok_or_else(|| Failure::no_repository(&settings.shown()))?;
        self.unlock(&settings, store)
    }

    fn unlock(&self, settings: &Settings, store: Arc<dyn Store>) -> Result<Repository> {
        let options = OpenOptions {
            credentials: self.given()?.to_open()?,
            cache_dir: settings.cache_dir.clone(),
            state_dir: settings.state_dir.clone(),
            entropy: Entropy::system(),
            clock: Clock::system(),
            memory: self.memory(),
        };
        Repository::open(store, options, &self.watcher())
            .map_err(|error| Failure::opening(&settings.shown(), error))
    }

    /// The snapshot that `name` and the filter choose.
    fn select(&self, repository: &Repository, name: &str, filter: &FilterArgs) -> Result<Snapshot> {
        let (_, snapshot) =
            repository.select(name, &to_filter(filter), &self.watcher()).map_err(|error| {
                let missing = error.kind() == Kind::NotFound;
                let failure = Failure::from(error);
                if missing {
                    failure.hint("`coffer snapshots` lists what there is")
                } else {
                    failure
                }
            })?;
        Ok(snapshot)
    }
}

/// The store at the repository's path, if a repository is there.
fn existing_store(settings: &Settings) -> Result<Option<Arc<dyn Store>>> {
    let store = match LocalStore::open(settings.repository.clone()) {
        Ok(store) => Arc::new(store),
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let exists = Repository::exists(&*store)?;
    Ok(exists.then_some(store as Arc<dyn Store>))
}

fn to_filter(args: &FilterArgs) -> Filter {
    Filter { host: args.host.clone(), tags: args.tag.clone(), job: args.job.clone() }
}

/// What a backup and its kin read of a tree.
fn tree_options(
    roots: Vec<PathBuf>,
    selection: &SelectionArgs,
    skip: Vec<PathBuf>,
) -> Result<TreeOptions> {
    let options = TreeOptions {
        roots,
        excludes: selection.exclude.clone(),
        exclude_files: selection.exclude_file.clone(),
        exclude_if_present: selection.exclude_if_present.clone(),
        exclude_caches: selection.exclude_caches,
        exclude_larger_than: selection.exclude_larger_than,
        one_file_system: selection.one_file_system,
        skip,
        claimed: Vec::new(),
        databases: Vec::new(),
    };
    options.check().map_err(|problem| Failure::usage(problem.to_string()))?;
    Ok(options)
}

/// A path that cannot be used, with the system's word for why.
fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    use std::os::unix::ffi::OsStrExt;
    let shown = crate::output::escape::name(path.as_os_str().as_bytes());
    Failure::usage(format!("{shown}: {error}"))
}
