use std::path::Path;
use std::sync::Arc;

use coffer_engine::crypto::slot::KdfStrength;
use coffer_engine::error::Kind;
use coffer_engine::model::{Clock, Entropy};
use coffer_engine::repo::{InitOptions, OpenOptions, Repository, Tuning};
use coffer_engine::store::LocalStore;

use super::{Context, existing_store};
use crate::args::values::Kdf;
use crate::args::{InitArgs, PasswordPolicyArgs};
use crate::exit::{Code, Failure, Result};
use crate::output::{Stdout, json, stderr_line};
use crate::process;
use crate::settings::Settings;
use crate::tuning_file;

/// Makes a new repository.
///
/// # Errors
/// Fails if there is one already, or for a weak password.
pub fn run(context: &Context, args: &InitArgs) -> Result<()> {
    let settings = context.settings()?;
    if existing_store(&settings)?.is_some() {
        return Err(exists(&settings));
    }
    // Read before a password is asked for.
    let mut tuning = tuning(args.tuned.as_deref())?;
    if let Some(level) = args.compression.level() {
        tuning.zstd_level = level;
    }
    create(context, &settings, &args.policy, tuning).map(drop)
}

/// What the file of `--tuned` says, or the default.
///
/// # Errors
/// A usage failure when the file cannot be read or is no such file.
pub fn tuning(file: Option<&Path>) -> Result<Tuning> {
    file.map_or(Ok(Tuning::default()), tuning_file::load)
}

/// Makes a repository where none is, and tells so.
///
/// # Errors
/// As [`run`].
pub fn create(
    context: &Context,
    settings: &Settings,
    policy: &PasswordPolicyArgs,
    tuning: Tuning,
) -> Result<Repository> {
    let new = context.given()?.to_init(policy)?;
    let options = InitOptions {
        strength: strength(policy.kdf),
        label: String::new(),
        host: process::host_name(),
        tuning,
        open: OpenOptions {
            credentials: new.credentials,
            cache_dir: settings.cache_dir.clone(),
            state_dir: settings.state_dir.clone(),
            entropy: Entropy::system(),
            clock: Clock::system(),
            memory: context.memory(),
        },
    };
    let store = LocalStore::create(settings.repository.clone())?;
    let repository =
        Repository::init(Arc::new(store), options, &context.watcher()).map_err(|error| {
            if error.kind() != Kind::Conflict {
                return Failure::from(error);
            }
            // Somebody else's repository won: our key opens nothing.
            if let Some(path) = &new.made_key_file {
                let _ = std::fs::remove_file(path);
            }
            exists(settings)
        })?;
    // The repository stands, whether or not somebody listens.
    let _ = tell(context, settings, &repository, new.made_key_file.is_some());
    Ok(repository)
}

fn tell(
    context: &Context,
    settings: &Settings,
    repository: &Repository,
    made_key_file: bool,
) -> Result<()> {
    let id = repository.id().to_string();
    let mut out = Stdout::new()?;
    if context.global.json {
        let repository = settings.repository.to_string_lossy().into_owned();
        out.json(&json::Initialized { message_type: "initialized", id, repository })?;
        return out.finish();
    }
    if !context.global.quiet {
        out.line(&format!("made repository {} at {}", json::short(&id), settings.shown()))?;
        if made_key_file {
            out.line("made the key file; keep a copy of it in another place")?;
        }
    }
    out.finish()?;
    // Not even -q hides this.
    stderr_line(
        "Whoever loses the password and every key file loses the data: nobody can open the \
         repository without one of them, and there is no way to reset them.",
    );
    Ok(())
}

/// The engine's word for a strength.
#[must_use]
pub fn strength(kdf: Kdf) -> KdfStrength {
    match kdf {
        Kdf::Default => KdfStrength::Default,
        Kdf::Strong => KdfStrength::Strong,
    }
}

fn exists(settings: &Settings) -> Failure {
    let message = format!("there is a repository at {} already", settings.shown());
    Failure::new(Code::Failed, message).hint("use it with `coffer backup`, or name another path")
}
