//! Every method with every role. The table is written down here a second time, on purpose: it must not follow a slip
//! in the server's own.

use fobd::model::role::Role;
use fobd::rpc::methods::METHODS;
use serde_json::json;

use super::server;

const LOOK: &str = "admin helpdesk auditor";
const WORK: &str = "admin helpdesk";
const ADMIN: &str = "admin";
const ALL: &str = "admin helpdesk auditor verifier station monitor";
const VERIFY: &str = "admin helpdesk verifier";

#[rustfmt::skip]
const EXPECTED: &[(&str, &str)] = &[
    ("domain/create", WORK), ("domain/get", LOOK), ("domain/set", WORK), ("domain/search", LOOK),
    ("domain/delete", WORK),
    ("user/create", WORK), ("user/get", LOOK), ("user/set", WORK), ("user/search", LOOK), ("user/delete", WORK),
    ("product/create", ADMIN), ("product/get", LOOK), ("product/set", ADMIN), ("product/search", LOOK),
    ("product/delete", ADMIN),
    ("repository/create", ADMIN), ("repository/get", LOOK), ("repository/set", ADMIN), ("repository/search", LOOK),
    ("repository/delete", ADMIN),
    ("token/create", WORK), ("token/get", LOOK), ("token/set", WORK), ("token/search", LOOK), ("token/delete", ADMIN),
    ("product/clocks", LOOK), ("token/clock", LOOK), ("token/setClock", WORK),
    ("token/reset", WORK), ("token/syncToken", WORK), ("token/find", WORK), ("token/solve", WORK), ("token/import", WORK),
    ("token/assign", WORK),
    ("token/unassign", WORK), ("token/setPin", WORK), ("token/changePin", VERIFY), ("token/unlock", WORK),
    ("token/enable", WORK), ("token/disable", WORK), ("token/lost", WORK), ("token/retire", WORK),
    ("token/confine", WORK), ("token/release", ADMIN), ("token/batchAssignTokens", WORK),
    ("token/getDownloadUrl", ADMIN), ("token/retrieveCredential", ADMIN),
    ("tokenAssignment/create", WORK), ("tokenAssignment/get", LOOK), ("tokenAssignment/set", WORK),
    ("tokenAssignment/search", LOOK), ("tokenAssignment/sort", WORK), ("tokenAssignment/getTokenQRCode", ADMIN),
    ("tokenAssignment/delete", WORK),
    ("auth/verify", VERIFY), ("auth/listTokens", VERIFY), ("auth/listTokenAssignments", VERIFY),
    ("device/list", LOOK), ("device/slots", LOOK), ("device/program", WORK), ("device/calculate", ADMIN),
    ("device/erase", WORK),
    ("job/get", LOOK), ("job/search", LOOK), ("job/confirm", WORK),
    ("policy/get", LOOK), ("policy/set", ADMIN), ("policy/search", LOOK),
    ("operator/create", ADMIN), ("operator/get", ADMIN), ("operator/set", ADMIN), ("operator/search", ADMIN),
    ("operator/setPassword", ADMIN), ("operator/disable", ADMIN), ("operator/enable", ADMIN),
    ("operator/delete", ADMIN),
    ("client/create", ADMIN), ("client/search", ADMIN), ("client/delete", ADMIN),
    ("clock/get", LOOK), ("clock/accept", ADMIN),
    ("group/create", ADMIN), ("group/get", ADMIN), ("group/search", ADMIN),
    ("agent/register", ALL), ("agent/renew", "admin station"), ("agent/get", ADMIN), ("agent/set", ADMIN),
    ("agent/search", ADMIN), ("agent/addOperator", ADMIN), ("agent/removeOperator", ADMIN), ("agent/retire", ADMIN),
    ("audit/search", "admin auditor"), ("audit/prune", ADMIN),
    ("key/status", ADMIN), ("key/rotate", ADMIN),
];

#[test]
fn every_method_is_for_exactly_the_roles_that_are_written_down_here() {
    let named: Vec<&str> = EXPECTED.iter().map(|(method, _)| *method).collect();
    let there: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
    let missing: Vec<&&str> = there.iter().filter(|method| !named.contains(method)).collect();
    assert_eq!((missing, named.len()), (Vec::<&&str>::new(), there.len()));
    let server = server();
    let mut wrong = Vec::new();
    for (role, role_name) in Role::ALL {
        let client = server.with_role(role_name);
        for (method, roles) in EXPECTED {
            // Without parameters nothing is done by those who may.
            let kind = client.call(method, json!({})).err().map(|error| error.kind);
            let refused = kind.as_deref() == Some("permission.denied");
            let may = roles.split(' ').any(|name| name == *role_name);
            let das5 = client.das5(method, &json!({}))["error"] == json!(1007);
            if refused == may || das5 == may {
                wrong.push(format!("{method} as {role:?}: {kind:?}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_surfaces_beside_the_methods_are_for_admins_too_where_they_manage() {
    let server = server();
    let managed = [
        ("GET", "/api/v2/userTokens"),
        ("GET", "/api/v2/userTokens/admin"),
        ("DELETE", "/api/v2/userTokens/purge"),
        ("DELETE", "/api/v2/userTokens/userCode/NFWIevo8"),
        ("GET", "/api/v2/config/userTokens"),
        ("PUT", "/api/v2/config/userTokens"),
        ("DELETE", "/api/v2/config/userTokens"),
    ];
    for (_, role) in Role::ALL.iter().filter(|(role, _)| *role != Role::Admin) {
        for (method, path) in managed {
            let (status, text) = server.with_role(role).raw_as(method, path, &[], "");
            assert_eq!(
                (status, &*text),
                (403, "you are not allowed to do that\n"),
                "{method} {path} as {role}"
            );
        }
        let (status, _) =
            server.with_role(role).raw_as("GET", "/api/v2/userTokens/currentUser/hasToken", &[], "");
        assert_eq!(status, 200, "{role}");
    }
    for (method, path) in managed {
        assert_eq!(server.client.raw(method, path, &[], "").0, 401, "{method} {path}");
    }
}
