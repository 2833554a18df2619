//! The `token/*` API: one method table behind two envelopes.
//!
//! A request goes envelope ([`jsonrpc`], [`das5`]) -> [`normalise`] -> [`methods`] -> a typed handler ->
//! a use case of [`crate::service`]. Handlers touch no raw JSON but what they pass through (`return` lists and
//! selectors). [`openrpc`] describes the table to programs.

pub mod das5;
mod handlers;
pub mod jsonrpc;
pub mod methods;
pub mod normalise;
pub mod openrpc;
mod params;
mod schemas;

use std::sync::Arc;

use serde_json::Value as Json;

use crate::access::Caller;
use crate::app::App;

/// Who asks, and whom.
#[derive(Clone)]
pub struct Context {
    /// The server.
    pub app: Arc<App>,
    /// The caller.
    pub caller: Caller,
}

/// What a method answers. The envelopes differ in how they say it.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Done; there is nothing to tell.
    Done,
    /// Done, with a result.
    Result(Json),
    /// A verify was accepted; with what the caller asked to see.
    Accepted(Option<Json>),
    /// A verify was rejected, and nobody is told why.
    Rejected,
}
