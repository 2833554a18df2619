//! `fobd group` and `fobd agent` against the shipped server.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value as Json, json};

use super::HELPDESK;
use crate::support::client::{ADMIN, PASSWORD};
use crate::support::program::{Installation, Server, fobd};

struct Machine {
    installation: Installation,
    server: Server,
}

impl Machine {
    fn start() -> Self {
        let installation = Installation::new().argument("--tls");
        let server = installation.start();
        Self { installation, server }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = fobd();
        command.args(words).args(["--server", &self.server.client.base]);
        command
    }

    /// A command of the admin that must succeed; what it prints as JSON.
    fn admin(&self, words: &[&str]) -> Json {
        let mut command = self.command(words);
        command.arg("--json").arg("--password-file").arg(self.installation.password_file());
        command.arg("--ca-file").arg(self.installation.data_dir().join("tls/certificate.pem"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Makes a pre-auth token and writes it into a file.
    fn token(&self, group: &str) -> std::path::PathBuf {
        let url = format!("{}/api/v5_4/mgm/{group}/preauthtoken", self.server.client.base);
        let body = json!({ "ownerX500Name": HELPDESK }).to_string();
        let output = Command::new("curl")
            .args(["-sS", "-k", "-u", &format!("{ADMIN}:{PASSWORD}"), "-d", &body, &url])
            .output()
            .unwrap();
        let made: Json = serde_json::from_slice(&output.stdout).unwrap();
        let path = self.installation.scratch().join("token");
        fs::write(&path, format!("{}\n", made["id"].as_str().unwrap())).unwrap();
        path
    }

    fn register(&self, group: &str, fingerprint: &str, token: &Path, out: &Path) -> Output {
        let words = ["agent", "register", "--group", group, "--name", HELPDESK, "--fingerprint", fingerprint];
        let mut command = self.command(&words);
        command.arg("--token-file").arg(token).arg("--out").arg(out).output().unwrap()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn a_machine_registers_by_a_token_and_a_fingerprint_and_renews_its_certificate() {
    let machine = Machine::start();
    let group = machine.admin(&["group", "create", "--name", "o=Head Office,l=London,c=GB"]);
    let (hash, fingerprint) =
        (group["hash"].as_str().unwrap(), group["serverFingerprint"].as_str().unwrap().to_owned());
    assert_eq!((hash.len(), group["name"].as_str()), (12, Some("O=Head Office, L=London, C=GB")));
    assert_eq!(machine.admin(&["group", "show", &hash.to_lowercase()]), group);
    assert_eq!(machine.admin(&["group", "show", "C=GB, L=London, O=Head Office"]), group);
    assert_eq!(machine.admin(&["group", "list"])["rows"][0]["hash"], hash);
    let shown = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(machine.installation.data_dir().join("tls/certificate.pem"))
        .output()
        .unwrap();
    assert!(text(&shown).contains(&fingerprint), "{}", text(&shown));

    // Somebody else's server gets nothing: the token is as good as before.
    let token = machine.token(hash);
    let out = machine.installation.scratch().join("agent");
    let (first, rest) = fingerprint.split_at(1);
    let other = format!("{}{rest}", if first == "0" { "1" } else { "0" });
    let refused = machine.register(hash, &other, &token, &out);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused));
    assert!(
        text(&refused).contains(&fingerprint) && text(&refused).contains("nothing was sent"),
        "{}",
        text(&refused)
    );
    assert!(!out.join("certificate.pem").exists());

    // The key that is there from then on is used.
    let key = fs::read_to_string(out.join("key.pem")).unwrap();
    let registered = machine.register(hash, &fingerprint, &token, &out);
    assert!(registered.status.success(), "{}", text(&registered));
    assert!(text(&registered).starts_with("registered as agent n1; its certificate is good until 2"));
    for name in ["key.pem", "certificate.pem", "authority.pem", "agent.json"] {
        let mode = fs::metadata(out.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_to_string(out.join("key.pem")).unwrap(), key);
    let again = machine.register(hash, &fingerprint, &token, &out);
    assert_eq!(again.status.code(), Some(2), "{}", text(&again));

    let certificate = fs::read(out.join("certificate.pem")).unwrap();
    let renew = || fobd().args(["agent", "renew", "--dir"]).arg(&out).output().unwrap();
    let renewed = renew();
    assert!(renewed.status.success(), "{}", text(&renewed));
    assert_ne!(fs::read(out.join("certificate.pem")).unwrap(), certificate);
    assert!(renew().status.success(), "by the new one");

    machine.admin(&["operator", "add", "desk", "--role", "helpdesk"]);
    machine.admin(&["repository", "add", "Berlin"]);
    machine.admin(&["agent", "user", "add", "n1", "desk"]);
    machine.admin(&["agent", "see", HELPDESK, "--repository", "Berlin"]);
    let agent = machine.admin(&["agent", "show", HELPDESK]);
    assert_eq!(agent["operators"], json!({"elements": [{"name": "desk"}]}));
    assert_eq!(agent["repositories"], json!({"elements": [{"name": "Berlin"}]}));
    machine.admin(&["agent", "user", "remove", HELPDESK, "desk"]);
    assert_eq!(machine.admin(&["agent", "list"])["total"], 1);
    machine.admin(&["agent", "retire", "n1"]);
    assert_eq!(machine.admin(&["agent", "list"])["total"], 0);
    assert_eq!(machine.admin(&["agent", "list", "--all"])["rows"][0]["status"], "RETIRED");
    let refused = renew();
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused));
    machine.server.stop();
}

#[test]
fn a_registration_that_is_declined_says_so_and_leaves_no_certificate() {
    let machine = Machine::start();
    let group = machine.admin(&["group", "create", "--name", "O=Head Office, L=London, C=GB"]);
    let fingerprint = group["serverFingerprint"].as_str().unwrap();
    let token = machine.token(group["hash"].as_str().unwrap());
    let out = machine.installation.scratch().join("agent");
    let declined = machine.register("000000000000", fingerprint, &token, &out);
    assert_eq!(declined.status.code(), Some(3), "{}", text(&declined));
    assert!(text(&declined).contains("(1112, registration.declined)"), "{}", text(&declined));
    assert!(out.join("key.pem").exists() && !out.join("certificate.pem").exists());
    let plain = machine.server.client.base.replace("https:", "http:");
    let mut command = fobd();
    command.args([
        "agent",
        "register",
        "--server",
        &plain,
        "--group",
        "x",
        "--name",
        HELPDESK,
        "--fingerprint",
    ]);
    let refused =
        command.arg(fingerprint).arg("--token-file").arg(&token).arg("--out").arg(&out).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    machine.server.stop();
}
