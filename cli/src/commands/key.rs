use coffer_engine::crypto::slot::Credential;
use coffer_engine::repo::keys::NewCredential;
use coffer_engine::repo::{KeyInfo, Repository};

use super::{Context, init};
use crate::args::{KeyAddArgs, KeyCommand, KeyPasswdArgs, KeyRemoveArgs, NewKeyArgs};
use crate::credentials::NewCredentials;
use crate::exit::{Code, Failure, Result};
use crate::output::{Stdout, escape, json, table};

/// Manages the keys that open the repository.
///
/// # Errors
/// Those of opening the repository; refuses to remove the key in use or the last one.
pub fn run(context: &Context, command: &KeyCommand) -> Result<()> {
    let mut repository = context.open()?;
    match command {
        KeyCommand::List => list(context, &repository),
        KeyCommand::Add(args) => add(context, &mut repository, args),
        KeyCommand::Remove(args) => remove(context, &mut repository, args),
        KeyCommand::Passwd(args) => passwd(context, &mut repository, args),
    }
}

fn list(context: &Context, repository: &Repository) -> Result<()> {
    let keys = repository.keys()?;
    let mut out = Stdout::new()?;
    if context.global.json {
        out.json(&keys.iter().map(json::KeyLine::new).collect::<Vec<_>>())?;
    } else {
        out.line(&table::keys(&keys))?;
    }
    out.finish()
}

fn add(context: &Context, repository: &mut Repository, args: &KeyAddArgs) -> Result<()> {
    let credential = new_credential(&args.new)?;
    let strength = init::strength(args.new.policy.kdf);
    let key = repository.add_key(&NewCredential {
        credential: &credential,
        strength,
        label: &args.label,
        secrets: !args.no_secrets,
    })?;
    tell(context, &key, "added key")
}

fn passwd(context: &Context, repository: &mut Repository, args: &KeyPasswdArgs) -> Result<()> {
    let credential = new_credential(&args.new)?;
    let strength = init::strength(args.new.policy.kdf);
    let key = repository.replace_key(&credential, strength)?;
    tell(context, &key, "replaced the key in use by key")
}

fn remove(context: &Context, repository: &mut Repository, args: &KeyRemoveArgs) -> Result<()> {
    let keys = repository.keys()?;
    let key = chosen(&keys, &args.slot)?;
    if key.current {
        let message = "the key the repository was opened with cannot be removed";
        return Err(Failure::new(Code::Refused, message)
            .hint("open it with another key, or replace this one with `coffer key passwd`"));
    }
    repository.remove_key(&key.slot)?;
    tell(context, key, "removed key")?;
    let mut out = Stdout::new()?;
    if !context.global.json && !context.global.quiet {
        out.line(
            "New data is sealed under new keys. What the removed key could read until now, its \
             holder may still read.",
        )?;
    }
    out.finish()
}

fn new_credential(args: &NewKeyArgs) -> Result<Credential> {
    let mut credentials = NewCredentials::from_args(args)?.credentials;
    credentials.pop().ok_or_else(|| Failure::usage("no new key was given"))
}

/// The one key whose slot begins with `prefix`.
fn chosen<'a>(keys: &'a [KeyInfo], prefix: &str) -> Result<&'a KeyInfo> {
    let prefix = prefix.to_ascii_lowercase();
    let hint = "`coffer key list` shows the slots";
    let mut fitting = keys.iter().filter(|key| key.slot.to_string().starts_with(&prefix));
    match (fitting.next(), fitting.next()) {
        _ if prefix.is_empty() => Err(Failure::usage("the slot is empty").hint(hint)),
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => {
            let message = format!("several keys begin with {}", escape::text(&prefix));
            Err(Failure::usage(message).hint("give more of its digits"))
        }
        (None, _) => {
            let message = format!("no key begins with {}", escape::text(&prefix));
            Err(Failure::new(Code::Failed, message).hint(hint))
        }
    }
}

fn tell(context: &Context, key: &KeyInfo, done: &str) -> Result<()> {
    let mut out = Stdout::new()?;
    if context.global.json {
        out.json(&json::KeyLine::new(key))?;
    } else if !context.global.quiet {
        out.line(&format!("{done} {}", json::short(&key.slot.to_string())))?;
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffer_engine::model::{SlotId, SlotKind};

    #[test]
    fn a_slot_is_chosen_by_a_prefix_that_fits_one() {
        let key = |byte: u8| KeyInfo {
            slot: SlotId([byte; 16]),
            kind: SlotKind::KeyFile,
            label: String::new(),
            created_ns: 0,
            current: false,
            secrets: true,
            present: true,
        };
        let keys = [key(0xab), key(0xac)];
        assert_eq!(chosen(&keys, "AB").unwrap().slot, keys[0].slot);
        let code = |prefix| chosen(&keys, prefix).unwrap_err().code.number();
        assert_eq!([code("a"), code(""), code("ff")], [2, 2, 1]);
    }
}
