//! Which passwords a repository is protected with.

use crate::exit::{Failure, Result};

/// Characters of a password; a guesser who has the repository tries offline, for years.
const LEN_MIN: usize = 12;

/// Refuses a password that is short, or that zxcvbn scores below 3 of 4, unless `allow_weak`.
/// An empty one is always refused.
///
/// # Errors
/// A usage failure that says why; it never repeats the password.
pub fn check(password: &[u8], allow_weak: bool) -> Result<()> {
    let password = std::str::from_utf8(password)
        .map_err(|_| Failure::usage("the password is not UTF-8 text"))?;
    if password.is_empty() {
        return Err(Failure::usage("an empty password protects nothing"));
    }
    if allow_weak {
        return Ok(());
    }
    let hint = "take five or more random words, a key file (--key-file), or insist with \
                --allow-weak-password";
    let len = password.chars().count();
    if len < LEN_MIN {
        let message = format!("the password has {len} characters, fewer than {LEN_MIN}");
        return Err(Failure::usage(message).hint(hint));
    }
    let estimate = zxcvbn::zxcvbn(password, &["coffer", "backup", "restic", "borg"]);
    if estimate.score() >= zxcvbn::Score::Three {
        return Ok(());
    }
    let warning = estimate.feedback().and_then(zxcvbn::feedback::Feedback::warning);
    let why = warning.map_or_else(String::new, |warning| format!(": {warning}"));
    Err(Failure::usage(format!("the password is easy to guess{why}")).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_need_insistence() {
        for weak in ["short", "aaaaaaaaaaaaaaaa", "password1234", "123456789012345", "ööööö"] {
            let failure = check(weak.as_bytes(), false).unwrap_err();
            assert_eq!(failure.code.number(), 2, "{weak}");
            assert!(!failure.to_string().contains(weak));
            assert_eq!(check(weak.as_bytes(), true), Ok(()));
        }
        assert_eq!(check(b"correct horse battery staple rain", false), Ok(()));
        assert_eq!(check(b"zQ8#vL2p!mXw9k", false), Ok(()));
        assert!(check(b"", true).is_err());
    }
}
