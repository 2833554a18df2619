//! THE method table. One entry: name, permission, handler with the type of its parameters, result; what it does; the
//! errors of its own; an example, with the result as on `/rpc`.
//!
//! Adding a method is adding an entry and `UPDATE=1 cargo test --test main the_api_reference`, which rewrites `docs/api.md`. The
//! examples are called in this order on a server with the few objects of `tests/openrpc/world.rs`.

use serde_json::json;

use super::super::handlers::{
    agent, assignment, audit, auth, clock, device, directory, job, key, operator, policy, token,
};
use super::super::params::*;
use super::Gives::{Made, Nothing as Empty, Rows, Shown, Verdict};
use super::{Example, Method, typed, typed_result};
use crate::model::role::Permission;
use crate::service::audit::{AuditRowsShown, PrunedShown};
use crate::service::catalogue::products;
use crate::service::clock::{ClockShown, ClocksShown};
use crate::service::error::Kind;
use crate::service::explain::ExplainedShown;
use crate::service::find::FoundShown;
use crate::service::key::{KeysShown, RotationShown};
use crate::service::policy::{PolicyMade, PolicyShown, PolicyVersions};
use crate::service::server_clock::ServerClockShown;
use crate::service::shown::{
    AgentCertificateShown, ClientShown, CredentialShown, DevicesShown, GroupShown, JobShown, List,
    PasscodeShown, SlotShown,
};
use crate::service::solve::SolvedShown;
use crate::store::objects::{
    AGENT, ASSIGNMENT, CLIENT, DOMAIN, GROUP, JOB, OPERATOR, PRODUCT, REPOSITORY, TOKEN, USER,
};

/// The id of the product that the example makes: behind those that come with the program and two of the test's world.
fn next_product() -> String {
    format!("p{}", products().len() + 3)
}

macro_rules! methods {
    ($($name:literal, $permission:ident, $handler:path, $params:ty => $gives:expr; $about:literal
       [$($error:ident),*] $call:tt => $result:tt)*) => {
        /// Every method, in the order of the documentation.
        pub static METHODS: &[Method] = &[$(Method {
            name: $name,
            permission: Permission::$permission,
            about: $about,
            params: <$params as schemars::JsonSchema>::json_schema,
            gives: $gives,
            errors: &[$(Kind::$error),*],
            example: || Example { params: json!($call), result: json!($result) },
            run: |context, params| Box::pin(async move { $handler(context, typed::<$params>(params)?).await }),
        },)*];
    };
}

methods! {
    "domain/create", DirectoryWrite, directory::create_domain, Create<DomainAttrs> => Made(&DOMAIN);
    "Makes a domain." [Exists]
    {"attrs": {"name": "branch.example.com"}, "return": ["id", "name"]} => {"id": "d3", "name": "branch.example.com"}

    "domain/get", DirectoryRead, directory::get_domain, DomainGet => Shown(&DOMAIN);
    "Shows one domain." [DomainNotFound]
    {"domain": {"name": "example.com"}, "return": ["*"]} =>
    {"id": "d1", "name": "example.com", "description": "Head office", "dateCreated": "2026-01-01T00:00:00Z"}

    "domain/set", DirectoryWrite, directory::set_domain, DomainSet => Empty;
    "Changes a domain." [DomainNotFound, Exists]
    {"id": "d1", "attrs": {"description": "Head office, Berlin"}} => {}

    "domain/search", DirectoryRead, directory::search_domains, SearchParams => Rows(&DOMAIN);
    "Searches domains." []
    {"match": [["name", "=", "example.com"]], "return": ["id", "name"]} =>
    {"total": 1, "rows": [{"id": "d1", "name": "example.com"}]}

    "domain/delete", DirectoryWrite, directory::delete_domain, DomainDelete => Empty;
    "Deletes a domain that has no users." [DomainNotFound, InUse]
    {"domain": {"name": "old.example.com"}} => {}

    "user/create", DirectoryWrite, directory::create_user, Create<UserAttrs> => Made(&USER);
    "Makes a user in a domain." [DomainNotFound, Exists]
    {"attrs": {"domain": {"name": "example.com"}, "loginName": "new.hire", "email": "new.hire@example.com"}} => {"id": "u4"}

    "user/get", DirectoryRead, directory::get_user, UserGet => Shown(&USER);
    "Shows one user." [UserNotFound, DomainNotFound]
    {
        "user": {"domain.name": "example.com", "loginName": "john.smith"},
        "return": ["loginName", "status", "domain.name", {"tokens": [{"elements": ["serial"]}]}]
    } =>
    {
        "loginName": "john.smith", "status": "ACTIVE", "domain.name": "example.com",
        "tokens": {"elements": [{"serial": "10000001"}]}
    }

    "user/set", DirectoryWrite, directory::set_user, UserSet => Empty;
    "Changes a user." [UserNotFound, DomainNotFound, Exists]
    {"id": "u1", "attrs": {"mobile": "+49 30 1234567"}} => {}

    "user/search", DirectoryRead, directory::search_users, SearchParams => Rows(&USER);
    "Searches users." []
    {
        "match": [["domain.name", "=", "example.com"], ["loginName", "like", "j%"]],
        "return": ["loginName", "email"], "sort": "loginName", "order": "desc", "max": 20
    } =>
    {"total": 2, "rows": [
        {"loginName": "john.smith", "email": "john.smith@example.com"},
        {"loginName": "jane.doe", "email": ""}
    ]}

    "user/delete", DirectoryWrite, directory::delete_user, UserDelete => Empty;
    "Deletes a user; the tokens go back into stock." [UserNotFound, DomainNotFound]
    {"user": {"domain.name": "example.com", "loginName": "left.early"}} => {}

    "product/create", CatalogueWrite, directory::create_product, Create<ProductAttrs> => Made(&PRODUCT);
    "Makes a product (token model)." [Exists]
    {"attrs": {
        "name": "Key fob", "manufacturerCode": "EX", "productCode": "FOB", "algorithm": "OATH TOTP", "timer": 60
    }} => {"id": (next_product())}

    "product/get", DirectoryRead, directory::get_product, ProductGet => Shown(&PRODUCT);
    "Shows one product." [ProductNotFound]
    {
        "product": {"manufacturerCode": "YK", "productCode": "HOTP"},
        "return": ["name", "algorithm", "digits", "timer", "driver"]
    } =>
    {"name": "YubiKey OATH-HOTP", "algorithm": "OATH HOTP", "digits": 6, "timer": null, "driver": "ykoath"}

    "product/set", CatalogueWrite, directory::set_product, ProductSet => Empty;
    "Changes a product; its tokens keep what they have." [ProductNotFound]
    {
        "product": {"manufacturerCode": "EX", "productCode": "CARD"},
        "attrs": {"name": "Card, 8 digits", "algorithm": "OATH TOTP", "digits": 8, "timer": 30}
    } => {}

    "product/search", DirectoryRead, directory::search_products, SearchParams => Rows(&PRODUCT);
    "Searches products." []
    {"match": [["manufacturerCode", "=", "GG"]], "return": ["id", "name"]} =>
    {"total": 1, "rows": [{"id": "p2", "name": "Google Authenticator"}]}

    "product/clocks", TokenRead, directory::product_clocks, ProductClocks => typed_result::<ClocksShown>();
    "Reports how the clocks of a product's tokens run, and which batches and tokens leave the curve." [ProductNotFound]
    {"product": {"manufacturerCode": "DN", "productCode": "MT"}} =>
    {"tokens": 0, "ratePpm": null, "spreadPpm": null, "batches": [], "leaving": []}

    "product/delete", CatalogueWrite, directory::delete_product, ProductDelete => Empty;
    "Deletes a product that has no tokens." [ProductNotFound, InUse]
    {"product": {"manufacturerCode": "EX", "productCode": "OLD"}} => {}

    "repository/create", CatalogueWrite, directory::create_repository, Create<RepositoryAttrs> => Made(&REPOSITORY);
    "Makes a repository (stock)." [RepositoryNotFound, Exists]
    {"attrs": {"name": "Front desk", "parent": {"name": "Berlin"}}} => {"id": "r4"}

    "repository/get", DirectoryRead, directory::get_repository, RepositoryGet => Shown(&REPOSITORY);
    "Shows one repository." [RepositoryNotFound]
    {"repository": {"name": "Berlin"}, "return": ["id", "description"]} => {"id": "r2", "description": "Second floor"}

    "repository/set", CatalogueWrite, directory::set_repository, RepositorySet => Empty;
    "Changes a repository." [RepositoryNotFound, Exists]
    {"repository": {"name": "Berlin"}, "attrs": {"description": "Third floor"}} => {}

    "repository/search", DirectoryRead, directory::search_repositories, SearchParams => Rows(&REPOSITORY);
    "Searches repositories." []
    {"match": [["name", "=", "Berlin"]]} => {"total": 1, "rows": [{"id": "r2"}]}

    "repository/delete", CatalogueWrite, directory::delete_repository, RepositoryDelete => Empty;
    "Deletes a repository that is empty." [RepositoryNotFound, InUse]
    {"repository": {"name": "Old cupboard"}} => {}

    "token/create", TokenWrite, token::create, Create<TokenAttrs> => Made(&TOKEN);
    "Makes a token, and assigns it if a user is named." [ProductNotFound, RepositoryNotFound, UserNotFound, DomainNotFound, Exists, ImportRefused]
    {
        "attrs": {
            "product": {"manufacturerCode": "DN", "productCode": "MT"},
            "user": {"domain.name": "example.com", "loginName": "jane.doe"},
            "pin": "1234"
        },
        "return": ["id", "product.name"]
    } => {"id": "t23", "product.name": "MobileID"}

    "token/get", TokenRead, token::get, TokenGet => Shown(&TOKEN);
    "Shows one token." [TokenNotFound]
    {"token": {"serial": "10000001"}, "return": ["id", "status", "counter", {"product": ["name"]}]} =>
    {"id": "t1", "status": "ACTIVE", "counter": 0, "product": {"name": "OATH HOTP token"}}

    "token/set", TokenWrite, token::set, TokenSet => Empty;
    "Changes status, description, repository or token identifier of a token." [TokenNotFound, RepositoryNotFound, NoSecret]
    {"token": {"serial": "10000002"}, "attrs": {"description": "Spare", "repository": {"name": "Berlin"}}} => {}

    "token/search", TokenRead, token::search, SearchParams => Rows(&TOKEN);
    "Searches tokens." []
    {"match": [["serial", "in", ["10000001", "10000002"]]], "return": ["serial", "repository.name"], "sort": "serial"} =>
    {"total": 2, "rows": [
        {"serial": "10000001", "repository.name": "Default"},
        {"serial": "10000002", "repository.name": "Berlin"}
    ]}

    "token/delete", TokenDelete, token::delete, TokenDelete => Empty;
    "Deletes a token; with a user, only takes it back from that user." [TokenNotFound, UserNotFound, DomainNotFound, AssignmentNotFound, InUse]
    {"token": {"serial": "10000003"}} => {}

    "token/reset", TokenWrite, token::reset, TokenReset => Empty;
    "Clears failures, lock, drift and half a resync of a token." [TokenNotFound]
    {"token": {"serial": "10000004"}, "attrs": {"counter": 5}} => {}

    "token/syncToken", TokenWrite, token::sync, TokenSync => Empty;
    "Resyncs a token by two or three consecutive passcodes." [TokenNotFound, UserNotFound, DomainNotFound, AssignmentNotFound, NoSecret, SyncFailed, Locked, ClockSuspect, RequestReused]
    {"token": {"serial": "10000005"}, "credential": "359152,969429"} => {}

    "token/explain", TokenExplain, token::explain, TokenExplain => typed_result::<ExplainedShown>();
    "Tells why the last attempts to be let in by a token, or of a user, failed, and what to do." [TokenNotFound, UserNotFound, DomainNotFound]
    {"token": {"serial": "10000005"}} => {"total": 0, "rows": [], "locks": []}

    "token/find", TokenFind, token::find, TokenFind => typed_result::<FoundShown>();
    "Finds the tokens that show a passcode, or two consecutive ones; nothing is spent." [TooOften]
    {"credential": "755224", "match": [["repository.name", "=", "Berlin"]]} =>
    {
        "total": 1, "rows": [{
            "id": "t2", "serial": "10000002", "product": "OATH HOTP token", "repository": "Berlin", "status": "ACTIVE",
            "users": [], "ahead": 0, "seconds": null
        }],
        "searched": 1, "expectedByChance": 0.000011, "secondPasscodeWanted": false
    }

    "token/solve", TokenSolve, token::solve, TokenSolve => typed_result::<SolvedShown>();
    "Tells how the seed of a token was meant whose passcodes do not fit, and reads it so." [TokenNotFound, NoSecret, NotSolved, ImportRefused, SyncFailed, Locked, InUse, TooOften]
    {"data": "90000001,GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "credential": "287082,359152"} =>
    {
        "total": 1, "rows": [{
            "spelled": null, "asStored": false, "ahead": null, "nextCounter": 3, "others": 0, "othersFit": 0,
            "attrs": {"reading": "base32", "algorithm": "OATH HOTP", "hash": "SHA1", "digits": 6, "timer": null}
        }],
        "tried": 4449, "expectedByChance": 0.000000004, "secondPasscodeWanted": false, "changed": 0,
        "advice": "import the file with these attributes"
    }

    "token/clock", TokenRead, token::clock, TokenOnly => typed_result::<ClockShown>();
    "Shows what is known of the clock of a TOTP token." [TokenNotFound, NoSecret]
    {"token": {"serial": "APP-1"}} =>
    {
        "offsetSeconds": 0.0, "ratePpm": 0.0, "rateUncertaintyPpm": 20.0, "rateCounts": false, "rateGiven": false,
        "successes": 0, "since": null, "lastLearned": null, "frozen": false, "windowSteps": 2
    }

    "token/setClock", TokenWrite, token::set_clock, TokenSetClock => Empty;
    "Sets, freezes or forgets what is known of the clock of a TOTP token." [TokenNotFound, NoSecret]
    {"token": {"serial": "APP-1"}, "attrs": {"offsetSeconds": -75.5, "ratePpm": 12.5, "frozen": true}} => {}

    "token/import", TokenWrite, token::import, Create<ImportAttrs> => Rows(&TOKEN);
    "Imports tokens with their secrets from a file: all or none." [ProductNotFound, RepositoryNotFound, Exists, ImportRefused]
    {
        "attrs": {
            "product": {"manufacturerCode": "OATH", "productCode": "HOTP"},
            "repository": {"name": "Berlin"},
            "data": "20000001,3132333435363738393031323334353637383930\n20000002,3132333435363738393031323334353637383930\n"
        },
        "return": ["id", "serial"]
    } =>
    {"total": 2, "rows": [{"id": "t24", "serial": "20000001"}, {"id": "t25", "serial": "20000002"}]}

    "token/assign", TokenWrite, token::assign, TokenAssign => Made(&ASSIGNMENT);
    "Assigns a token to a user, with a PIN if one is given." [TokenNotFound, UserNotFound, DomainNotFound, InUse]
    {
        "token": {"serial": "10000006"},
        "user": {"domain.name": "example.com", "loginName": "jane.doe"},
        "attrs": {"pin": "1234"}
    } => {"id": "a11"}

    "token/unassign", TokenWrite, token::unassign, TokenAndUser => Empty;
    "Takes a token back from a user." [TokenNotFound, UserNotFound, DomainNotFound, AssignmentNotFound]
    {"token": {"serial": "10000007"}, "user": {"domain.name": "example.com", "loginName": "jane.doe"}} => {}

    "token/setPin", TokenWrite, token::set_pin, TokenSetPin => Empty;
    "Sets the PIN of a token's user, or removes it." [TokenNotFound, UserNotFound, DomainNotFound, AssignmentNotFound]
    {
        "token": {"serial": "10000008"},
        "user": {"domain.name": "example.com", "loginName": "jane.doe"},
        "attrs": {"pin": "5678"}
    } => {}

    "token/changePin", Verify, token::change_pin, TokenChangePin => Empty;
    "Changes a PIN for somebody who knows the old one." [TokenNotFound, UserNotFound, DomainNotFound, AssignmentNotFound, IncorrectCredentials]
    {
        "token": {"serial": "10000009"},
        "user": {"domain.name": "example.com", "loginName": "jane.doe"},
        "attrs": {"oldPin": "1234", "pin": "5678"}
    } => {}

    "token/unlock", TokenWrite, token::unlock, TokenAndUser => Empty;
    "Takes locks and failures off a token and its user." [TokenNotFound, UserNotFound, DomainNotFound, AssignmentNotFound]
    {"token": {"serial": "10000009"}, "user": {"domain.name": "example.com", "loginName": "jane.doe"}} => {}

    "token/enable", TokenWrite, token::enable, TokenOnly => Empty;
    "Makes a disabled token usable again." [TokenNotFound, InUse]
    {"token": {"serial": "10000011"}} => {}

    "token/disable", TokenWrite, token::disable, TokenOnly => Empty;
    "Makes a token unusable until it is enabled again." [TokenNotFound, InUse]
    {"token": {"serial": "10000010"}} => {}

    "token/lost", TokenWrite, token::lost, TokenLost => Empty;
    "Disables a lost token; a replacement takes over its users and PINs." [TokenNotFound, InUse]
    {"token": {"serial": "10000012"}, "replacement": {"serial": "10000013"}} => {}

    "token/retire", TokenWrite, token::retire, TokenOnly => Empty;
    "Takes a token out of service for good." [TokenNotFound, InUse]
    {"token": {"serial": "10000014"}} => {}

    "token/confine", TokenWrite, token::confine, TokenOnly => Empty;
    "Forbids any further hand-out of a token's secret." [TokenNotFound, InUse]
    {"token": {"serial": "APP-1"}} => {}

    "token/release", TokenRelease, token::release, TokenOnly => Empty;
    "Allows the hand-out of a token's secret again." [TokenNotFound, InUse]
    {"token": {"serial": "APP-1"}} => {}

    "token/batchAssignTokens", TokenWrite, token::batch_assign, BatchAssign => Empty;
    "Assigns tokens to users by the rows of a CSV text: all or none." [BatchRefused]
    {"attrs": {
        "csv": "domain,loginName,manufacturerCode,productCode,serial,status,pin\nexample.com,jane.doe,OATH,HOTP,10000015,ACTIVE,1234\n",
        "charset": "UTF-8"
    }} => {}

    "token/getDownloadUrl", TokenExport, token::download_url, TokenDownload => typed_result::<String>();
    "Makes a link by which a software token's secret is fetched once." [TokenNotFound, UserNotFound, DomainNotFound, AssignmentNotFound, NoSecret, NotExportable, Confined]
    {"token": {"serial": "APP-1"}, "provisioningUrl": "https://otp.example.com"} =>
    "https://otp.example.com/provision/…"

    "token/retrieveCredential", TokenExport, token::retrieve, TokenCredential => typed_result::<CredentialShown<'_>>();
    "Hands out the secret of a software token." [TokenNotFound, UserNotFound, DomainNotFound, AssignmentNotFound, NoSecret, NotExportable, Confined]
    {"token": {"serial": "APP-1"}, "user": {"domain.name": "example.com", "loginName": "jane.doe"}} =>
    {
        "serial": "APP-1", "algorithm": "OATH TOTP", "hash": "SHA1", "digits": 6, "timer": 30, "counter": null,
        "secret": "…", "uri": "otpauth://totp/example.com:jane.doe?…"
    }

    "tokenAssignment/create", TokenWrite, assignment::create, Create<AssignmentAttrs> => Made(&ASSIGNMENT);
    "Assigns a token to a user." [TokenNotFound, UserNotFound, DomainNotFound, InUse]
    {"attrs": {
        "token": {"serial": "10000016"},
        "user": {"domain.name": "example.com", "loginName": "jane.doe"}
    }} => {"id": "a13"}

    "tokenAssignment/get", TokenRead, assignment::get, AssignmentGet => Shown(&ASSIGNMENT);
    "Shows one assignment." [AssignmentNotFound]
    {
        "token": {"serial": "10000001"},
        "user": {"domain.name": "example.com", "loginName": "john.smith"},
        "return": ["id", "status", "hasPin"]
    } => {"id": "a1", "status": "ACTIVE", "hasPin": true}

    "tokenAssignment/set", TokenWrite, assignment::set, AssignmentSet => Empty;
    "Changes PIN, status, validity or priority of an assignment." [AssignmentNotFound]
    {
        "token": {"serial": "10000008"},
        "user": {"domain.name": "example.com", "loginName": "jane.doe"},
        "attrs": {"expires": "2027-01-01T00:00:00Z", "usageLimit": 100}
    } => {}

    "tokenAssignment/search", TokenRead, assignment::search, SearchParams => Rows(&ASSIGNMENT);
    "Searches assignments of tokens to users." []
    {"match": [["user.loginName", "=", "john.smith"]], "return": ["id", "token.serial", "isOwner"]} =>
    {"total": 1, "rows": [{"id": "a1", "token.serial": "10000001", "isOwner": true}]}

    "tokenAssignment/sort", TokenWrite, assignment::sort, AssignmentSort => Empty;
    "Puts the assignments of a user into an order of priority." [AssignmentNotFound]
    {"ids": ["a4", "a3"]} => {}

    "tokenAssignment/getTokenQRCode", TokenExport, assignment::qr_code, AssignmentOnly => typed_result::<String>();
    "Hands out a software token's secret as a QR code: a PNG in base 64." [AssignmentNotFound, NoSecret, NotExportable, Confined]
    {"token": {"serial": "APP-1"}, "user": {"domain.name": "example.com", "loginName": "jane.doe"}} =>
    "iVBORw0KGgo…"

    "tokenAssignment/delete", TokenWrite, assignment::delete, AssignmentOnly => Empty;
    "Ends an assignment." [AssignmentNotFound]
    {"token": {"serial": "10000017"}, "user": {"domain.name": "example.com", "loginName": "jane.doe"}} => {}

    "auth/verify", Verify, auth::verify, Verify => Verdict;
    "Tells whether a passcode (with the PIN) is right, and spends it; can change the PIN as well." [IncorrectCredentials, RequestReused]
    {
        "user": {"domain.name": "example.com", "loginName": "john.smith"},
        "credential": {"otp": "1234755224"},
        "return": ["serial"]
    } => {"accepted": true, "serial": "10000001"}

    "auth/listTokens", Verify, auth::list_tokens, ListOfUser => Rows(&TOKEN);
    "Lists the tokens of a user." [UserNotFound, DomainNotFound]
    {"user": {"domain.name": "example.com", "loginName": "john.smith"}, "return": ["serial", "status"]} =>
    {"total": 1, "rows": [{"serial": "10000001", "status": "ACTIVE"}]}

    "auth/listTokenAssignments", Verify, auth::list_assignments, ListOfUser => Rows(&ASSIGNMENT);
    "Lists the assignments of a user." [UserNotFound, DomainNotFound, TokenNotFound]
    {"user": {"domain.name": "example.com", "loginName": "john.smith"}, "return": ["token.serial", "hasPin"]} =>
    {"total": 1, "rows": [{"token.serial": "10000001", "hasPin": true}]}

    "device/list", DeviceRead, device::list, Nothing => typed_result::<DevicesShown<'_>>();
    "Lists the devices that are plugged in, and the buses where none can be seen." []
    {} =>
    {"total": 1, "rows": [{
        "id": "ykoath:12345678", "driver": "ykoath", "serial": "12345678", "maker": "Yubico", "model": "YubiKey 5 NFC",
        "firmware": "5.4.3", "transport": "virtual", "station": null, "place": "Yubico YubiKey OTP+FIDO+CCID 00 00",
        "state": "ready", "slots": 32, "error": null,
        "capabilities": {
            "algorithms": ["SHA1", "SHA256", "SHA512"], "digits": [6, 7, 8],
            "hotp": true, "totp": true, "calculate": true, "hotpByHand": false, "touch": true, "timers": [],
            "clock": false, "numbers": null
        },
        "interfaces": [{
            "transport": "virtual", "place": "Yubico YubiKey OTP+FIDO+CCID 00 00", "kind": "contact", "state": "ready",
            "error": null
        }]
    }], "buses": [{"name": "virtual", "error": null}]}

    "device/slots", DeviceRead, device::slots, DeviceSlots => typed_result::<List<SlotShown<'_>>>();
    "Lists the slots of a device and the tokens that live there."
    [DeviceNotFound, DeviceGone, DeviceBusy, DeviceLocked, DeviceCodeWrong, DeviceBlocked, DeviceFailed, DeviceTimeout]
    {"device": "ykoath:12345678"} =>
    {"total": 1, "rows": [{
        "slot": "Example:john", "name": "Example:john", "type": "HOTP", "algorithm": "SHA1", "digits": 6, "timer": null,
        "touch": null, "inUse": true, "token": null
    }]}

    "device/program", DeviceProgram, device::program, DeviceProgram => typed_result::<JobShown<'_>>();
    "Puts a new secret into a slot and proves it."
    [DeviceNotFound, DeviceGone, DeviceBusy, DeviceLocked, DeviceCodeWrong, DeviceBlocked, DeviceFailed, DeviceTimeout,
     DeviceUnsupported, DeviceFull, ProductNotFound,
     RepositoryNotFound, TokenNotFound, UserNotFound, DomainNotFound, InUse, SlotInUse, ClockSuspect]
    {
        "device": "ykoath:12345678",
        "product": {"manufacturerCode": "YK", "productCode": "HOTP"},
        "attrs": {"user": {"domain.name": "example.com", "loginName": "jane.doe"}, "pin": "1234"},
        "wait": 30
    } =>
    {
        "job": "j2", "action": "program", "state": "ready", "step": "ready", "device": "ykoath:12345678",
        "slot": "fobd:12345678", "token": {"id": "t26", "serial": "12345678"}, "error": null, "operator": "admin",
        "dateCreated": "2026-01-01T00:00:00Z", "lastUpdated": "2026-01-01T00:00:00Z"
    }

    "device/calculate", DeviceCalculate, device::calculate, DeviceCalculate => typed_result::<PasscodeShown<'_>>();
    "Lets a device compute a passcode."
    [DeviceNotFound, DeviceGone, DeviceBusy, DeviceLocked, DeviceCodeWrong, DeviceBlocked, DeviceFailed, DeviceTimeout,
     DeviceUnsupported, SlotEmpty]
    {"device": "ykoath:12345678", "slot": "Example:john"} => {"passcode": "755224"}

    "device/erase", DeviceProgram, device::erase, DeviceErase => typed_result::<JobShown<'_>>();
    "Empties a slot; its token becomes stock again."
    [DeviceNotFound, DeviceGone, DeviceBusy, DeviceLocked, DeviceCodeWrong, DeviceBlocked, DeviceFailed, DeviceTimeout,
     DeviceUnsupported, SlotEmpty, SlotInUse]
    {"device": "ykoath:12345678", "slot": "Example:john"} =>
    {
        "job": "j3", "action": "erase", "state": "ready", "step": "ready", "device": "ykoath:12345678",
        "slot": "Example:john", "token": null, "error": null, "operator": "admin",
        "dateCreated": "2026-01-01T00:00:00Z", "lastUpdated": "2026-01-01T00:00:00Z"
    }

    "job/get", TokenRead, job::get, JobGet => typed_result::<JobShown<'_>>();
    "Shows where a provisioning job stands." [JobNotFound]
    {"job": "j1"} =>
    {
        "job": "j1", "action": "program", "state": "awaiting_passcode", "step": "awaiting_passcode",
        "device": "ykoath:87654321", "slot": "fobd:87654321", "token": {"id": "t22", "serial": "87654321"},
        "error": "device `ykoath:87654321`: nobody touched the token in time: confirm the job with a passcode of the device", "operator": "admin",
        "dateCreated": "2026-01-01T00:00:00Z", "lastUpdated": "2026-01-01T00:00:00Z"
    }

    "job/search", TokenRead, job::search, SearchParams => Rows(&JOB);
    "Searches provisioning jobs." []
    {"match": [["state", "=", "awaiting_passcode"]], "return": ["id", "device", "token.serial"]} =>
    {"total": 1, "rows": [{"id": "j1", "device": "ykoath:87654321", "token.serial": "87654321"}]}

    "job/confirm", DeviceProgram, job::confirm, JobConfirm => typed_result::<JobShown<'_>>();
    "Proves a job by a passcode that the device showed." [JobNotFound, JobState, NotProven, TokenNotFound, ClockSuspect]
    {"job": "j1", "passcode": "287082"} =>
    {
        "job": "j1", "action": "program", "state": "ready", "step": "ready", "device": "ykoath:87654321",
        "slot": "fobd:87654321", "token": {"id": "t22", "serial": "87654321"}, "error": null, "operator": "admin",
        "dateCreated": "2026-01-01T00:00:00Z", "lastUpdated": "2026-01-01T00:00:00Z"
    }

    "policy/get", TokenRead, policy::get, PolicyGet => typed_result::<PolicyShown>();
    "Shows what verification is run with, for the server, a product or a token." [ProductNotFound, TokenNotFound]
    {"product": {"manufacturerCode": "EX", "productCode": "CARD"}, "version": 1} =>
    {
        "version": 1, "level": "product", "own": {}, "changed": null,
        "settings": {
            "hotpLookAhead": 10, "hotpLookAheadWithoutPin": 5, "hotpSyncWindow": 1000, "totpAccept": 2,
            "totpCheck": 10, "totpSyncWindow": 120, "autoResync": false, "autoResyncWithin": 300,
            "clockModel": true, "maxFailures": 10, "firstLock": 60, "longestLock": 3600, "permanentLockAfter": 0,
            "repeatWindow": 60, "spendOnWrongPin": true, "pinMinLength": 4, "pinMaxLength": 64, "pinClasses": 1,
            "pinMaxRepeated": 0, "pinMaxSequential": 0, "pinMayBeLoginName": false, "pinLifetimeDays": 0,
            "pinPlacement": "prefix"
        }
    }

    "policy/set", PolicyWrite, policy::set, PolicySet => typed_result::<PolicyMade>();
    "Changes settings of verification, for the server, a product or a token; makes a new version." [ProductNotFound, TokenNotFound]
    {
        "product": {"manufacturerCode": "EX", "productCode": "CARD"},
        "attrs": {"autoResync": true, "totpAccept": 1}
    } => {"version": 2}

    "policy/search", TokenRead, policy::search, PolicySearch => typed_result::<PolicyVersions>();
    "Lists the versions of a policy, newest first." [ProductNotFound, TokenNotFound]
    {"product": {"manufacturerCode": "EX", "productCode": "CARD"}} =>
    {"total": 1, "rows": [{
        "version": 2, "own": {"totpAccept": 1, "autoResync": true}, "operator": "admin",
        "dateCreated": "2026-01-01T00:00:00Z"
    }]}

    "operator/create", OperatorManage, operator::create, Create<OperatorAttrs> => Made(&OPERATOR);
    "Makes an operator: a person or a program that may call the API." [Exists, DomainNotFound, RepositoryNotFound]
    {
        "attrs": {
            "name": "berlin.desk", "role": "helpdesk", "password": "a long text of their own",
            "domains": [{"name": "example.com"}], "repositories": [{"name": "Berlin"}]
        },
        "return": ["name", {"domains": [{"elements": ["name"]}]}]
    } =>
    {"id": "o6", "name": "berlin.desk", "domains": {"elements": [{"name": "example.com"}]}}

    "operator/get", OperatorManage, operator::get, OperatorGet => Shown(&OPERATOR);
    "Shows one operator." [OperatorNotFound]
    {"operator": {"name": "berlin.desk"}, "return": ["role", "disabled", "allDomains"]} =>
    {"role": "helpdesk", "disabled": false, "allDomains": false}

    "operator/set", OperatorManage, operator::set, OperatorSet => Empty;
    "Changes role or scope of an operator; its sessions and tokens end." [OperatorNotFound, DomainNotFound, RepositoryNotFound, LastAdmin]
    {"operator": {"name": "berlin.desk"}, "attrs": {"role": "auditor", "repositories": null}} => {}

    "operator/search", OperatorManage, operator::search, SearchParams => Rows(&OPERATOR);
    "Searches operators." []
    {"match": [["role", "=", "admin"]], "return": ["id", "name"]} =>
    {"total": 1, "rows": [{"id": "o1", "name": "admin"}]}

    "operator/setPassword", OperatorManage, operator::set_password, OperatorSetPassword => Empty;
    "Gives an operator another password; its sessions and tokens end." [OperatorNotFound]
    {"operator": {"name": "berlin.desk"}, "attrs": {"password": "another text of their own"}} => {}

    "operator/disable", OperatorManage, operator::disable, OperatorOnly => Empty;
    "Lets an operator in no more; its sessions and tokens end." [OperatorNotFound, LastAdmin]
    {"operator": {"name": "berlin.desk"}} => {}

    "operator/enable", OperatorManage, operator::enable, OperatorOnly => Empty;
    "Lets an operator in again." [OperatorNotFound]
    {"operator": {"name": "berlin.desk"}} => {}

    "operator/delete", OperatorManage, operator::delete, OperatorOnly => Empty;
    "Removes an operator, with its sessions, tokens and clients." [OperatorNotFound, LastAdmin]
    {"operator": {"name": "berlin.desk"}} => {}

    "client/create", OperatorManage, operator::create_client, ClientCreate => typed_result::<ClientShown<'_>>();
    "Makes a client of OAuth 2.0 that acts as an operator; its secret is shown this once." [OperatorNotFound, Exists]
    {"attrs": {"name": "vpn.gateway", "operator": {"name": "verifier"}}} =>
    {"id": "c1", "clientId": "vpn.gateway", "clientSecret": "…"}

    "client/search", OperatorManage, operator::search_clients, SearchParams => Rows(&CLIENT);
    "Searches clients of OAuth 2.0." []
    {"return": ["name", "operator.name"]} =>
    {"total": 1, "rows": [{"name": "vpn.gateway", "operator.name": "verifier"}]}

    "client/delete", OperatorManage, operator::delete_client, ClientOnly => Empty;
    "Removes a client of OAuth 2.0; its tokens end." [ClientNotFound]
    {"client": {"name": "vpn.gateway"}} => {}

    "clock/get", ClockRead, clock::get, Nothing => typed_result::<ServerClockShown>();
    "Shows the server's clock, and whether it is trusted." []
    {} => {"time": "2026-01-01T00:00:00Z", "trusted": true, "problem": null, "since": null}

    "clock/accept", ClockAccept, clock::accept, Nothing => typed_result::<ServerClockShown>();
    "Says that the server's clock is right as it is." []
    {} => {"time": "2026-01-01T00:00:00Z", "trusted": true, "problem": null, "since": null}

    "group/create", OperatorManage, agent::create_group, GroupCreate => typed_result::<GroupShown<'_>>();
    "Makes a group that agents can register in, with an authority of its own." [Exists]
    {"attrs": {"name": "O=Second Office, L=Paris, C=FR"}} =>
    {
        "id": "g2", "name": "O=Second Office, L=Paris, C=FR", "hash": "…", "uuid": "…", "authority": "-----BEGIN CERTIFICATE-----…",
        "serverFingerprint": "…", "dateCreated": "2026-01-01T00:00:00Z"
    }

    "group/get", OperatorManage, agent::get_group, GroupGet => typed_result::<GroupShown<'_>>();
    "Shows one group with what an agent needs to register in it." [GroupNotFound]
    {"group": {"name": "O=Head Office, L=London, C=GB"}} =>
    {
        "id": "g1", "name": "O=Head Office, L=London, C=GB", "hash": "…", "uuid": "…", "authority": "-----BEGIN CERTIFICATE-----…",
        "serverFingerprint": "…", "dateCreated": "2026-01-01T00:00:00Z"
    }

    "group/search", OperatorManage, agent::search_groups, SearchParams => Rows(&GROUP);
    "Searches groups." []
    {"return": ["name"], "sort": "name"} =>
    {"total": 2, "rows": [{"name": "O=Head Office, L=London, C=GB"}, {"name": "O=Second Office, L=Paris, C=FR"}]}

    "agent/register", Anybody, agent::register, AgentRegister => typed_result::<AgentCertificateShown<'_>>();
    "Trades a pre-auth token and a certificate request for a certificate of the group; needs no login." [RegistrationDeclined]
    {
        "group": "AB12CD34EF56", "name": "O=Helpdesk, L=London, C=GB", "token": "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
        "request": "-----BEGIN CERTIFICATE REQUEST-----…"
    } =>
    {
        "agent": "n2", "certificate": "-----BEGIN CERTIFICATE-----…", "authority": "-----BEGIN CERTIFICATE-----…",
        "expires": "2026-04-01T00:00:00Z"
    }

    "agent/renew", AgentSelf, agent::renew, AgentRenew => typed_result::<AgentCertificateShown<'_>>();
    "Gives the agent that calls by its certificate a new one." [AgentNotFound]
    {"request": "-----BEGIN CERTIFICATE REQUEST-----…"} =>
    {
        "agent": "n1", "certificate": "-----BEGIN CERTIFICATE-----…", "authority": "-----BEGIN CERTIFICATE-----…",
        "expires": "2026-04-01T00:00:00Z"
    }

    "agent/get", OperatorManage, agent::get, AgentGet => Shown(&AGENT);
    "Shows one agent." [AgentNotFound]
    {"agent": {"name": "O=Helpdesk, L=London, C=GB"}, "return": ["status", "expires", "group.name"]} =>
    {"status": "ACTIVE", "expires": "2026-04-01T00:00:00Z", "group.name": "O=Head Office, L=London, C=GB"}

    "agent/set", OperatorManage, agent::set, AgentSet => Empty;
    "Changes which repositories an agent sees itself." [AgentNotFound, RepositoryNotFound]
    {"agent": {"name": "O=Helpdesk, L=London, C=GB"}, "attrs": {"repositories": [{"name": "Berlin"}]}} => {}

    "agent/search", OperatorManage, agent::search, SearchParams => Rows(&AGENT);
    "Searches agents." []
    {"match": [["status", "=", "ACTIVE"]], "return": ["name"], "sort": "name"} =>
    {"total": 2, "rows": [{"name": "O=Front Desk, L=Berlin, C=DE"}, {"name": "O=Helpdesk, L=London, C=GB"}]}

    "agent/addOperator", OperatorManage, agent::add_operator, AgentOperator => Empty;
    "Lets an operator open sessions for an agent." [AgentNotFound, OperatorNotFound]
    {"agent": {"name": "O=Helpdesk, L=London, C=GB"}, "operator": {"name": "helpdesk"}} => {}

    "agent/removeOperator", OperatorManage, agent::remove_operator, AgentOperator => Empty;
    "Takes that back; the operator's sessions for the agent end." [AgentNotFound, OperatorNotFound]
    {"agent": {"name": "O=Helpdesk, L=London, C=GB"}, "operator": {"name": "helpdesk"}} => {}

    "agent/retire", OperatorManage, agent::retire, AgentOnly => Empty;
    "Retires an agent for good; its certificates and all sessions for it end." [AgentNotFound]
    {"agent": {"name": "O=Helpdesk, L=London, C=GB"}} => {}

    "audit/search", AuditRead, audit::search, AuditSearch => typed_result::<AuditRowsShown>();
    "Searches the audit log, newest rows first." [TokenNotFound, UserNotFound, DomainNotFound]
    {"action": "domain/create", "outcome": "created", "order": "asc", "max": 1} =>
    {"rows": [{
        "sequence": 1, "time": "2026-01-01T00:00:00Z", "operator": "admin", "action": "domain/create", "token": null,
        "user": null, "outcome": "created", "detail": "d1", "hash": "…"
    }], "cursor": "1767225600000-1"}

    "audit/prune", AuditPrune, audit::prune, AuditPrune => typed_result::<PrunedShown>();
    "Takes rows out of the audit log that are older than some time; their newest hash stays, signed." []
    {"before": "2025-01-01T00:00:00Z"} => {"cut": null, "removed": 0}

    "key/status", KeyRotate, key::status, KeyStatus => typed_result::<KeysShown>();
    "Shows the master key's id, and how a change of keys stands." []
    {} => {"state": "idle", "keyId": "…", "nextKeyId": null, "total": 0, "done": 0, "damaged": 0}

    "key/rotate", KeyRotate, key::rotate, KeyRotate => typed_result::<RotationShown>();
    "Makes a new master key and a new data key, and seals all secrets anew, while logins go on." [KeyFile, KeyRotating, KeyNotWaiting]
    {} => {"state": "working", "oldKeyId": "…", "keyId": "…", "keyFile": "…"}
}
