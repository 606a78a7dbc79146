//! Making a repository.

use std::sync::Arc;

use super::{OpenOptions, Repository, Tuning, keys};
use crate::cache::StateDir;
use crate::crypto::KdfStrength;
use crate::error::{Error, Kind, Result};
use crate::observe::Observer;
use crate::store::Store;

/// How a repository is made. One slot is made for each of the credentials to open it with.
pub struct InitOptions {
    pub strength: KdfStrength,
    /// Label of the slots; may be empty.
    pub label: String,
    /// Name of this host, for the list of authors.
    pub host: String,
    /// What its writers follow.
    pub tuning: Tuning,
    pub open: OpenOptions,
}

impl Repository {
    /// True if the store holds a repository.
    ///
    /// # Errors
    /// Those of the store.
    pub fn exists(store: &dyn Store) -> Result<bool> {
        Ok(store.len("config")?.is_some() || store.len("config.copy")?.is_some())
    }

    /// Makes a repository in an empty store and opens it.
    ///
    /// # Errors
    /// `Conflict` when the store holds a repository, `Input` without a credential or for settings that
    /// [`Tuning::check`] refuses, and those of the store.
    pub fn init(
        store: Arc<dyn Store>,
        options: InitOptions,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let InitOptions { strength, label, host, tuning, open } = options;
        let Some((first, more)) = open.credentials.split_first() else {
            return Err(Error::new(Kind::Input, "a repository needs a password or a key file"));
        };
        let more = more.to_vec();
        let now_ns = open.clock.now_ns();
        let mut config = keys::default_config(&open.entropy, now_ns);
        tuning.apply(&mut config)?;
        let state = StateDir::open(&open.state_dir, config.repository)?;
        let author = open.author(&state)?;
        let plan = keys::NewRepository {
            credential: first,
            strength,
            label: &label,
            config: &config,
            author: (&author, &host),
            now_ns,
        };
        keys::create(store.as_ref(), &open.entropy, &plan)?;
        let mut repo = Self::open(store, open, observer)?;
        for credential in more {
            let (credential, label) = (&credential, label.as_str());
            let new = keys::NewCredential { credential, strength, label, secrets: true };
            repo.add_key(&new)?;
        }
        Ok(repo)
    }
}
