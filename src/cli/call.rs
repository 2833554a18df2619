//! `fobd call`: any method of the API, for what has no command of its own.

use serde_json::{Value, json};

use super::EXIT_CODES;
use super::error::{CliError, Outcome};
use super::session::Session;

const EXAMPLES: &str = "\
Examples:
  fobd call token/search '{\"return\": [\"serial\"], \"max\": 5}'
  fobd call token/create - < params.json";

/// `fobd call`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct CallArgs {
    /// The method, for example token/search.
    method: String,
    /// Its parameters as a JSON object; `-` reads them from standard input, where PINs belong.
    #[arg(value_name = "JSON", default_value = "{}")]
    params: String,
}

impl CallArgs {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        let params: Value = if self.params == "-" {
            let text = session.ask.rest().map_err(CliError::Input)?;
            serde_json::from_str(&text).map_err(CliError::Parameters)?
        } else {
            serde_json::from_str(&self.params).map_err(CliError::Parameters)?
        };
        let result = session.call(&self.method, &params)?;
        Ok(session.show(&json!(result), |result| format!("{result:#}\n")))
    }
}
