//! Sessions for agents: for operators in the agent's list, as long as they are in it and the agent is active.

use serde_json::json;

use super::{HELPDESK, agents, server};
use crate::support::client::{ADMIN, Client, PASSWORD};
use crate::support::in_process::InProcess;

fn open(server: &InProcess, name: &str, agent: &str) -> Result<(String, Client), u16> {
    let body = json!({"Username": name, "Password": PASSWORD, "AgentId": agent}).to_string();
    let json = [("Content-Type", "application/json")];
    let (status, text) = server.client.raw("POST", "/Authentication/V1/Tokens", &json, &body);
    if status != 200 {
        return Err(status);
    }
    let token: String = serde_json::from_str(&text).unwrap();
    let client = Client::with_authorization(&server.client.base, &format!("FCF {token}"));
    Ok((token, client))
}

fn agent(server: &InProcess, hash: &str, name: &str) -> String {
    let token = agents::preauth(&server.client, hash, name, None);
    agents::register(&server.client.base, hash, name, &token).unwrap().agent
}

#[test]
fn a_session_names_an_agent_that_its_operator_may_act_for() {
    let (server, hash) = server();
    let desk = agent(&server, &hash, HELPDESK);
    let other = agent(&server, &hash, "O=Other, L=London, C=GB");
    let with = |operator: &str| json!({"agent": desk, "operator": {"name": operator}});
    for name in ["helpdesk", ADMIN] {
        assert_eq!(open(&server, name, &desk).err(), Some(401), "{name} is not in the list");
    }
    server.client.ok("agent/addOperator", with("helpdesk"));
    server.client.ok("agent/addOperator", with("helpdesk"));
    let (token, client) = open(&server, "helpdesk", &desk).unwrap();
    assert!(client.is_let_in());
    let (_, text) = server.client.raw("GET", &format!("/Authentication/V1/Tokens/{token}"), &[], "");
    assert!(text.contains(&format!("\"AgentId\":\"{desk}\"")), "{text}");
    for agent in [&*other, "", "n99", "n01", "N1", HELPDESK, "g1"] {
        assert_eq!(open(&server, "helpdesk", agent).err(), Some(401), "{agent}");
    }
    assert!(open(&server, ADMIN, "").is_ok(), "an admin needs no agent");

    // Who is taken out of the list keeps what belongs to other agents.
    server.client.ok("agent/addOperator", json!({"agent": other, "operator": {"name": "helpdesk"}}));
    let (_, elsewhere) = open(&server, "helpdesk", &other).unwrap();
    server.client.ok("agent/removeOperator", with("helpdesk"));
    assert!(!client.is_let_in() && elsewhere.is_let_in());
    assert_eq!(open(&server, "helpdesk", &desk).err(), Some(401));
    assert_eq!(server.client.error("agent/removeOperator", with("helpdesk")).kind, "operator.not_found");
}

#[test]
fn retiring_an_agent_ends_its_sessions_at_once_and_for_good() {
    let (server, hash) = server();
    let desk = agent(&server, &hash, HELPDESK);
    let with = json!({"agent": desk, "operator": {"name": "verifier"}});
    server.client.ok("agent/addOperator", with.clone());
    let (token, client) = open(&server, "verifier", &desk).unwrap();
    let (_, own) = open(&server, ADMIN, "").unwrap();
    assert!(client.is_let_in());
    server.client.ok("agent/retire", json!({"agent": {"name": HELPDESK, "status": "ACTIVE"}}));
    assert!(!client.is_let_in());
    assert!(own.is_let_in(), "sessions for no agent go on");
    assert_eq!(server.client.raw("GET", &format!("/Authentication/V1/Tokens/{token}"), &[], "").0, 400);
    assert_eq!(open(&server, "verifier", &desk).err(), Some(401));
    assert_eq!(server.client.error("agent/addOperator", with).kind, "agent.not_found");
    // The next one of that name is another agent, with a list of its own.
    let next = agent(&server, &hash, HELPDESK);
    assert_eq!(open(&server, "verifier", &next).err(), Some(401));
    let shown =
        json!({"agent": desk, "return": ["status", "dateRetired", {"operators": [{"elements": ["name"]}]}]});
    let expected =
        json!({"status": "RETIRED", "dateRetired": "2026-01-01T00:00:00Z", "operators": {"elements": []}});
    assert_eq!(server.client.ok("agent/get", shown), expected);
}
