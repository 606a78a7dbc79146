//! The environment as a value: what `COFFER_*` and the base directories say.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};

/// The variables of this process, empty ones left out.
#[derive(Debug, Clone, Default)]
pub struct Environment(HashMap<OsString, OsString>);

/// Where a setting's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The value itself.
    Value(OsString),
    /// A file that holds it (`…_FILE`).
    File(OsString),
    /// A command that prints it (`…_COMMAND`).
    Command(OsString),
}

impl Environment {
    /// The variables of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::from_pairs(std::env::vars_os())
    }

    /// The given variables.
    pub fn from_pairs<T: Into<OsString>>(pairs: impl IntoIterator<Item = (T, T)>) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self(pairs.filter(|(_, value): &(_, OsString)| !value.is_empty()).collect())
    }

    /// The value of `name`, if set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Where `name` is given: itself, or with `_FILE` or `_COMMAND` appended.
    ///
    /// # Errors
    /// When more than one of the three is set; the text names them.
    pub fn origin(&self, name: &str) -> Result<Option<Origin>, String> {
        type Make = fn(OsString) -> Origin;
        let forms: [(&str, Make); 3] =
            [("", Origin::Value), ("_FILE", Origin::File), ("_COMMAND", Origin::Command)];
        let mut found: Option<(String, Origin)> = None;
        for (ending, make) in forms {
            let variable = format!("{name}{ending}");
            let Some(value) = self.get(&variable) else { continue };
            if let Some((other, _)) = found {
                return Err(format!("both {other} and {variable} are set; keep one of them"));
            }
            found = Some((variable, make(value.to_owned())));
        }
        Ok(found.map(|(_, origin)| origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_has_three_forms_and_takes_one() {
        let one = Environment::from_pairs([("X_FILE", "/f"), ("Y", "")]);
        assert_eq!(one.origin("X"), Ok(Some(Origin::File("/f".into()))));
        assert_eq!(one.origin("Y"), Ok(None), "an empty variable is not set");
        let two = Environment::from_pairs([("X", "a"), ("X_COMMAND", "b")]);
        assert!(two.origin("X").unwrap_err().contains("X_COMMAND"));
    }
}
