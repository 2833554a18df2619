//! Groups, pre-auth tokens, and the agents that register by them.

mod certificates;
mod command_line;
mod errors;
mod names;
mod preauth;
mod registration;
mod sessions;

use firmware_fixtures::attach::VirtualBus;
use serde_json::Value as Json;

use crate::support::agents;
use crate::support::client::Client;
use crate::support::in_process::InProcess;

const HELPDESK: &str = "O=Helpdesk, L=London, C=GB";

/// A server with the group `O=Head Office, L=London, C=GB`, and the hash of that.
fn server() -> (InProcess, String) {
    let server = InProcess::start(VirtualBus::new());
    let hash = agents::group(&server.client, "O=Head Office, L=London, C=GB");
    (server, hash)
}

/// Asks the API of pre-auth tokens; `path` is what follows the hash of a group.
fn ask(client: &Client, method: &str, hash: &str, path: &str, body: &str) -> (u16, Json) {
    let path = format!("/api/v5_1/mgm/{hash}/{path}");
    let (status, text) = client.raw_as(method, &path, &[], body);
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {path}: {status} {text}")))
}

/// A value of a query.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
