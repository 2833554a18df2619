//! THE method table: name, permission, what it does, and the handler. Both envelopes, the permission check and
//! the documentation read it.

use std::pin::Pin;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::handlers::{assignment, auth, device, directory, job, token};
use super::normalise::normalise;
use super::{Context, Reply};
use crate::model::role::Permission;
use crate::service::error::{Error, Kind};

type Answer = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>;

/// One method.
pub struct Method {
    /// `object/verb`.
    pub name: &'static str,
    /// What the caller must be allowed.
    pub permission: Permission,
    /// One sentence.
    pub about: &'static str,
    run: fn(Context, Map<String, Json>) -> Answer,
}

macro_rules! methods {
    ($($name:literal, $permission:ident, $handler:path, $about:literal;)*) => {
        /// Every method, in the order of the documentation.
        pub static METHODS: &[Method] = &[$(Method {
            name: $name,
            permission: Permission::$permission,
            about: $about,
            run: |context, params| Box::pin(async move { $handler(context, typed(params)?).await }),
        },)*];
    };
}

methods! {
    "domain/create", DirectoryWrite, directory::create_domain, "Makes a domain.";
    "domain/get", DirectoryRead, directory::get_domain, "Shows one domain.";
    "domain/set", DirectoryWrite, directory::set_domain, "Changes a domain.";
    "domain/search", DirectoryRead, directory::search_domains, "Searches domains.";
    "domain/delete", DirectoryWrite, directory::delete_domain, "Deletes a domain that has no users.";
    "user/create", DirectoryWrite, directory::create_user, "Makes a user in a domain.";
    "user/get", DirectoryRead, directory::get_user, "Shows one user.";
    "user/set", DirectoryWrite, directory::set_user, "Changes a user.";
    "user/search", DirectoryRead, directory::search_users, "Searches users.";
    "user/delete", DirectoryWrite, directory::delete_user, "Deletes a user; the tokens go back into stock.";
    "product/create", CatalogueWrite, directory::create_product, "Makes a product (token model).";
    "product/get", DirectoryRead, directory::get_product, "Shows one product.";
    "product/set", CatalogueWrite, directory::set_product, "Changes a product; its tokens keep what they have.";
    "product/search", DirectoryRead, directory::search_products, "Searches products.";
    "product/delete", CatalogueWrite, directory::delete_product, "Deletes a product that has no tokens.";
    "repository/create", CatalogueWrite, directory::create_repository, "Makes a repository (stock).";
    "repository/get", DirectoryRead, directory::get_repository, "Shows one repository.";
    "repository/set", CatalogueWrite, directory::set_repository, "Changes a repository.";
    "repository/search", DirectoryRead, directory::search_repositories, "Searches repositories.";
    "repository/delete", CatalogueWrite, directory::delete_repository, "Deletes a repository that is empty.";
    "token/create", TokenWrite, token::create, "Makes a token, and assigns it if a user is named.";
    "token/get", TokenRead, token::get, "Shows one token.";
    "token/set", TokenWrite, token::set, "Changes status, description or repository of a token.";
    "token/search", TokenRead, token::search, "Searches tokens.";
    "token/delete", TokenDelete, token::delete, "Deletes a token; with a user, only takes it back from that user.";
    "token/reset", TokenWrite, token::reset, "Clears failures, lock, drift and a pending resync of a token.";
    "token/syncToken", TokenWrite, token::sync, "Resyncs a token by two or three consecutive passcodes.";
    "token/import", TokenWrite, token::import, "Imports tokens with their secrets from a file: all or none.";
    "token/assign", TokenWrite, token::assign, "Assigns a token to a user, with a PIN if one is given.";
    "token/unassign", TokenWrite, token::unassign, "Takes a token back from a user.";
    "token/setPin", TokenWrite, token::set_pin, "Sets the PIN of a token's user, or removes it.";
    "token/changePin", Verify, token::change_pin, "Changes a PIN for somebody who knows the old one.";
    "token/unlock", TokenWrite, token::unlock, "Takes locks and failures off a token and its user.";
    "token/enable", TokenWrite, token::enable, "Makes a disabled token usable again.";
    "token/disable", TokenWrite, token::disable, "Makes a token unusable until it is enabled again.";
    "token/lost", TokenWrite, token::lost, "Disables a lost token; a replacement takes over its users and PINs.";
    "token/retire", TokenWrite, token::retire, "Takes a token out of service for good.";
    "token/confine", TokenWrite, token::confine, "Forbids any further hand-out of a token's secret.";
    "token/release", TokenRelease, token::release, "Allows the hand-out of a token's secret again.";
    "token/batchAssignTokens", TokenWrite, token::batch_assign, "Assigns tokens to users by the rows of a CSV text: all or none.";
    "token/getDownloadUrl", TokenExport, token::download_url, "Makes a link by which a software token's secret is fetched once.";
    "token/retrieveCredential", TokenExport, token::retrieve, "Hands out the secret of a software token.";
    "tokenAssignment/create", TokenWrite, assignment::create, "Assigns a token to a user.";
    "tokenAssignment/get", TokenRead, assignment::get, "Shows one assignment.";
    "tokenAssignment/set", TokenWrite, assignment::set, "Changes PIN, status, validity or priority of an assignment.";
    "tokenAssignment/search", TokenRead, assignment::search, "Searches assignments of tokens to users.";
    "tokenAssignment/sort", TokenWrite, assignment::sort, "Puts the assignments of a user into an order of priority.";
    "tokenAssignment/getTokenQRCode", TokenExport, assignment::qr_code, "Hands out a software token's secret as a QR code.";
    "tokenAssignment/delete", TokenWrite, assignment::delete, "Ends an assignment.";
    "auth/verify", Verify, auth::verify, "Tells whether a passcode (with the PIN) is right, and spends it.";
    "auth/listTokens", Verify, auth::list_tokens, "Lists the tokens of a user.";
    "auth/listTokenAssignments", Verify, auth::list_assignments, "Lists the assignments of a user.";
    "device/list", DeviceRead, device::list, "Lists the devices that are plugged in.";
    "device/slots", DeviceRead, device::slots, "Lists the slots of a device and the tokens that live there.";
    "device/program", DeviceProgram, device::program, "Puts a new secret into a slot and proves it.";
    "device/calculate", DeviceCalculate, device::calculate, "Lets a device compute a passcode.";
    "device/erase", DeviceProgram, device::erase, "Empties a slot; its token becomes stock again.";
    "job/get", TokenRead, job::get, "Shows where a provisioning job stands.";
    "job/search", TokenRead, job::search, "Searches provisioning jobs.";
    "job/confirm", DeviceProgram, job::confirm, "Proves a job by a passcode that the device showed.";
}

/// Finds a method by name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

/// Calls a method for a caller who may.
///
/// # Errors
/// [`Kind::Forbidden`] if the caller may not; else what the method says.
pub async fn call(
    method: &'static Method,
    context: Context,
    params: Map<String, Json>,
) -> Result<Reply, Error> {
    if !context.caller.role.grants(method.permission) {
        return Err(Error::new(Kind::Forbidden, "you are not allowed to do that"));
    }
    (method.run)(context, normalise(params)?).await
}

/// Reads typed parameters.
fn typed<P: DeserializeOwned>(params: Map<String, Json>) -> Result<P, Error> {
    // The text of the error names members and types; of a wrong value it may repeat a part, so that goes.
    serde_path_to_error::deserialize(Json::Object(params)).map_err(|error| {
        let path = error.path().to_string();
        let problem = describe(&error.into_inner().to_string());
        let message = if path == "." { format!("params: {problem}") } else { format!("`{path}`: {problem}") };
        Error::new(Kind::Invalid, message)
    })
}

/// Drops what serde repeats of a value, for it might be a PIN, and the names of Rust's own types.
fn describe(text: &str) -> String {
    let about_value = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "];
    if !about_value.iter().any(|start| text.starts_with(start)) {
        return text.to_owned();
    }
    match text.rsplit_once("expected ") {
        Some((_, expected)) => format!("must be {}", plain(expected)),
        None => "has the wrong type".to_owned(),
    }
}

/// What serde expected, in the words of JSON.
fn plain(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "i64" => "a whole number",
        "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "an object",
        "a tuple of size 3" => "a list of three: attribute, comparison, value",
        expected if expected.starts_with("struct ") => "an object",
        expected => expected,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;
    use crate::rpc::params;

    #[test]
    fn every_method_has_one_name_and_a_sentence() {
        let names: HashSet<&str> = METHODS.iter().map(|method| method.name).collect();
        assert_eq!(names.len(), METHODS.len());
        assert!(METHODS.iter().all(|method| method.about.ends_with('.') && method.name.contains('/')));
    }

    #[test]
    fn a_wrong_member_is_named_and_its_value_is_not_repeated() {
        let problem = |params: Json| {
            let Json::Object(params) = params else { panic!("not an object") };
            match typed::<params::TokenAssign>(params) {
                Err(error) => error.message,
                Ok(_) => panic!("was read"),
            }
        };
        let pin = json!({"token": "t1", "user": "u1", "attrs": {"pin": 4711}});
        assert_eq!(problem(pin), "`attrs.pin`: must be a string");
        let typo = json!({"token": "t1", "user": "u1", "atrs": {}});
        assert_eq!(problem(typo), "`atrs`: unknown field `atrs`, expected one of `token`, `user`, `attrs`");
        assert_eq!(problem(json!({"token": "t1"})), "params: missing field `user`");
        let number = json!({"token": 4711, "user": "u1"});
        assert_eq!(problem(number), "`token`: must be an id, or an object of attributes");
        assert_eq!(
            problem(json!({"token": "t1", "user": "u1", "attrs": "4711"})),
            "`attrs`: must be an object"
        );
        assert_eq!(describe("unknown variant `4711`, expected `asc` or `desc`"), "must be `asc` or `desc`");
    }
}
