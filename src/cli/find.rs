//! `fobd token find` and `fobd token solve`: by passcodes from a display, which token is it, and how was its seed meant?
//!
//! What is typed here is not spent: a passcode on the command line stays good for a while, and other users of the
//! machine can read it there. Without one on the command line it is asked for.

use std::path::PathBuf;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::ask;
use super::error::{CliError, Outcome};
use super::output::{Column, column};
use super::selector::{self, Product};
use super::session::{Session, equal, put};

/// The largest file that fits into a request.
const LARGEST_FILE: usize = 15 << 20;

const FOUND: &[Column] = &[
    column("SERIAL", "serial"),
    column("AHEAD", "ahead"),
    column("SECONDS", "seconds"),
    column("PRODUCT", "product"),
    column("REPOSITORY", "repository"),
    column("STATUS", "status"),
    column("USERS", "users"),
];

const WAYS: &[Column] = &[
    column("READING", "attrs.reading"),
    column("SPELLED", "spelled"),
    column("ALGORITHM", "attrs.algorithm"),
    column("HASH", "attrs.hash"),
    column("DIGITS", "attrs.digits"),
    column("TIMER", "attrs.timer"),
    column("AHEAD", "ahead"),
    column("NEXT", "nextCounter"),
    column("OTHERS", "others"),
    column("FIT", "othersFit"),
];

/// `fobd token find`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  fobd token find 287082\n  fobd token find 287082 359152 --repository stock --window 200"
)]
pub struct FindArgs {
    /// The passcode that it shows; or that and the next one. Without one, it is asked for.
    #[arg(num_args = 0..=2, value_name = "PASSCODE")]
    passcodes: Vec<String>,
    /// Only tokens of this product.
    #[arg(long, value_name = "MANUFACTURER/CODE")]
    product: Option<Product>,
    /// Only tokens of this repository.
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// Only tokens with this status: ACTIVE, DISABLED or DECEASED.
    #[arg(long)]
    status: Option<String>,
    /// How far to look: presses ahead, or time steps either side [default: 10]
    #[arg(long, value_name = "N")]
    window: Option<u32>,
}

impl FindArgs {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        let credential = passcodes(session, &self.passcodes)?;
        let mut matches = Vec::new();
        if let Some(Value::Object(codes)) = self.product.as_ref().map(Product::selector) {
            matches.extend(codes.into_iter().map(|(name, code)| equal(&format!("product.{name}"), code)));
        }
        matches.extend(self.repository.as_ref().map(|name| equal("repository.name", name.as_str())));
        matches.extend(self.status.as_ref().map(|status| equal("status", status.to_uppercase())));
        let mut params = Map::new();
        put(&mut params, "credential", Some(credential.as_str()));
        put(&mut params, "match", (!matches.is_empty()).then_some(matches));
        put(&mut params, "window", self.window);
        let method = "token/find";
        let result = session.call(method, &Value::Object(params))?;
        let searched = result["searched"].as_u64().ok_or(CliError::Reply { method, member: "searched" })?;
        session.table(method, &result, FOUND)?;
        let by_chance = result["expectedByChance"].as_f64().unwrap_or_default();
        session.note(&format!("{searched} tokens searched; {by_chance:.6} would show that by chance"));
        if result["secondPasscodeWanted"] == true {
            session.note("give the next passcode too: it settles which one it is");
        }
        Ok(if result["total"] == 0 { Outcome::Rejected } else { Outcome::Done })
    }
}

/// `fobd token solve`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  fobd token solve 10000042 287082 359152\n  fobd token solve 10000042 287082 359152 --apply --others\n  fobd token solve 10000042 287082 359152 --file batch7.csv"
)]
pub struct SolveArgs {
    /// Its serial.
    serial: String,
    /// The passcode that it shows; better that and the next one. Without one, it is asked for.
    #[arg(num_args = 0..=2, value_name = "PASSCODE")]
    passcodes: Vec<String>,
    /// A file that is not imported, or a row of one, instead of the inventory.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Read the token anew in the way that is found; both passcodes are spent by this.
    #[arg(long, conflicts_with = "file")]
    apply: bool,
    /// With --apply: and the tokens of the same import that nobody has logged in with yet.
    #[arg(long, requires = "apply")]
    others: bool,
}

impl SolveArgs {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        let mut params = Map::new();
        let text = self.file.as_deref().map(ask::text_file).transpose()?;
        match (&text, &self.file) {
            (Some(text), Some(path)) if text.len() > LARGEST_FILE => {
                return Err(CliError::TooLarge { path: path.clone(), bytes: text.len() });
            }
            (Some(text), _) => {
                put(&mut params, "data", Some(text.as_str()));
                put(&mut params, "serial", Some(self.serial.as_str()));
            }
            (None, _) => put(&mut params, "token", Some(selector::token(&self.serial))),
        }
        let credential = passcodes(session, &self.passcodes)?;
        put(&mut params, "credential", Some(credential.as_str()));
        put(&mut params, "apply", self.apply.then_some(if self.others { "import" } else { "token" }));
        let method = "token/solve";
        let result = session.call(method, &Value::Object(params))?;
        let advice =
            result["advice"].as_str().ok_or(CliError::Reply { method, member: "advice" })?.to_owned();
        session.table(method, &result, WAYS)?;
        if let Some(changed) = result["changed"].as_u64().filter(|changed| *changed > 0) {
            session.note(&format!("{changed} tokens read anew"));
        }
        session.note(&advice);
        Ok(if result["total"] == 0 { Outcome::Rejected } else { Outcome::Done })
    }
}

/// What was given, or one line that is asked for.
fn passcodes(session: &mut Session<'_>, given: &[String]) -> Result<Zeroizing<String>, CliError> {
    if !given.is_empty() {
        return Ok(Zeroizing::new(given.join(",")));
    }
    let question = "Passcode, or two separated by a blank: ";
    let line = session.ask.line(question).map_err(CliError::Input)?.unwrap_or_default();
    let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    ask::not_empty("passcode", Zeroizing::new(words.join(",")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::output;

    #[test]
    fn ways_are_shown_with_what_to_tell_an_import() {
        let rows = [json!({
            "spelled": null, "asStored": false, "ahead": null, "nextCounter": 3, "others": 9, "othersFit": 9,
            "attrs": {"reading": "base32", "algorithm": "OATH HOTP", "hash": "SHA1", "digits": 6, "timer": null},
        })];
        let expected = "READING  ALGORITHM  HASH  DIGITS  NEXT  OTHERS  FIT\n\
                        base32   OATH HOTP  SHA1  6       3     9       9\n";
        assert_eq!(output::table(WAYS, &rows), expected);
    }
}
