//! Where secrets come from: files, standard input, and people at a terminal.
//!
//! A file gives all its text but one line end at its end. Prompts for secrets go to the terminal itself and show
//! nothing of the answer, also while standard input is a pipe.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::CliError;

/// The people at the other end.
pub(crate) trait Ask {
    /// Asks at the terminal for something that must not show.
    fn hidden(&mut self, question: &str) -> std::io::Result<Zeroizing<String>>;
    /// Takes a line from standard input, without its line end; `None` at its end. The question shows only to
    /// somebody at a terminal.
    fn line(&mut self, question: &str) -> std::io::Result<Option<Zeroizing<String>>>;
    /// Takes all that is left of standard input.
    fn rest(&mut self) -> std::io::Result<Zeroizing<String>>;
    /// Whether somebody sits at standard input.
    fn attended(&self) -> bool;
}

/// The terminal of this process.
pub(crate) struct Terminal;

impl Ask for Terminal {
    fn hidden(&mut self, question: &str) -> std::io::Result<Zeroizing<String>> {
        rpassword::prompt_password(question).map(Zeroizing::new)
    }

    fn line(&mut self, question: &str) -> std::io::Result<Option<Zeroizing<String>>> {
        if self.attended() {
            let mut errors = std::io::stderr();
            write!(errors, "{question}")?;
            errors.flush()?;
        }
        let mut line = Zeroizing::new(String::new());
        let read = std::io::stdin().lock().read_line(&mut line)?;
        Ok((read > 0).then(|| without_line_end(line)))
    }

    fn rest(&mut self) -> std::io::Result<Zeroizing<String>> {
        let mut text = Zeroizing::new(String::new());
        std::io::stdin().lock().read_to_string(&mut text)?;
        Ok(text)
    }

    fn attended(&self) -> bool {
        std::io::stdin().is_terminal()
    }
}

fn without_line_end(mut text: Zeroizing<String>) -> Zeroizing<String> {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// Reads a text file.
pub(crate) fn text_file(path: &Path) -> Result<Zeroizing<String>, CliError> {
    let bytes = std::fs::read(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(CliError::NotText { path: path.to_owned() })
        }
    }
}

/// Reads a secret from a file of its own.
pub(crate) fn secret_file(path: &Path) -> Result<Zeroizing<String>, CliError> {
    not_empty("file with the secret", without_line_end(text_file(path)?))
}

/// Refuses an empty secret: it would quietly mean "none".
pub(crate) fn not_empty(
    what: &'static str,
    secret: Zeroizing<String>,
) -> Result<Zeroizing<String>, CliError> {
    if secret.is_empty() { Err(CliError::Empty { what }) } else { Ok(secret) }
}

/// Where a new PIN comes from.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(multiple = false)]
pub struct PinArgs {
    /// Take the PIN from this file.
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Take the PIN from the first line of standard input.
    #[arg(long)]
    pin_stdin: bool,
    /// Ask for the PIN at the terminal, twice.
    #[arg(long)]
    ask_pin: bool,
}

impl PinArgs {
    /// The PIN, if one is to be set.
    pub(crate) fn read(&self, ask: &mut dyn Ask) -> Result<Option<Zeroizing<String>>, CliError> {
        let pin = if let Some(path) = &self.pin_file {
            secret_file(path)?
        } else if self.pin_stdin {
            ask.line("PIN: ").map_err(CliError::Input)?.ok_or(CliError::Empty { what: "PIN" })?
        } else if self.ask_pin {
            let no_terminal = |_| CliError::NoTerminal { what: "PIN", instead: "--pin-file or --pin-stdin" };
            let pin = ask.hidden("New PIN: ").map_err(no_terminal)?;
            if ask.hidden("Again: ").map_err(no_terminal)? != pin {
                return Err(CliError::PinsDiffer);
            }
            pin
        } else {
            return Ok(None);
        };
        not_empty("PIN", pin).map(Some)
    }
}

/// The code that a device asks for before it shows or changes anything.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AccessCodeArgs {
    /// File with the device's access code.
    #[arg(long, value_name = "FILE")]
    access_code_file: Option<PathBuf>,
}

impl AccessCodeArgs {
    /// The code, if one was given.
    pub(crate) fn read(&self) -> Result<Option<Zeroizing<String>>, CliError> {
        self.access_code_file.as_deref().map(secret_file).transpose()
    }
}
