//! Who is calling and what they may: operators, scopes, and every way in.

mod grants;
mod kept;
mod oauth;
mod operators;
mod scope;
mod sessions;
mod user_tokens;

use firmware_fixtures::attach::VirtualBus;

use crate::support::in_process::InProcess;

fn server() -> InProcess {
    InProcess::start(VirtualBus::new())
}
