//! TLS, as `curl` and `openssl` see it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value as Json, json};

use crate::support::client::{ADMIN, PASSWORD};
use crate::support::program::{Installation, Server, fobd};

fn certificate(installation: &Installation) -> PathBuf {
    installation.data_dir().join("tls/certificate.pem")
}

fn tls() -> (Installation, Server) {
    let installation = Installation::new().argument("--tls");
    let server = installation.start();
    assert!(server.client.base.starts_with("https://127.0.0.1:"), "{}", server.client.base);
    (installation, server)
}

fn curl(installation: &Installation, words: &[&str]) -> Output {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--cacert"]).arg(certificate(installation));
    curl.args(words).output().expect("curl runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn curl_trusts_the_certificate_made_at_the_first_start_and_logs_in() {
    let (installation, server) = tls();
    let login = format!("{ADMIN}:{PASSWORD}");
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "domain/search"}).to_string();
    let url = format!("{}/rpc", server.client.base);
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let json = ["--header", "Content-Type: application/json", "--data", &call];
        let words = [&[version, "--tls-max", &version[6..], "--user", &login][..], &json, &[&url]].concat();
        let answer: Json = serde_json::from_str(&text(&curl(&installation, &words))).unwrap();
        assert_eq!(answer["result"]["total"], json!(0), "{version}: {answer}");
    }
    // A name that is in the certificate, by which it was not asked for.
    let port = server.client.base.rsplit_once(':').unwrap().1;
    let by_name = curl(&installation, &[&format!("https://localhost:{port}/healthz")]);
    assert_eq!(text(&by_name), "ok\n");
    server.stop();
}

#[test]
fn without_its_certificate_nobody_believes_it_and_old_tls_is_refused() {
    let (installation, server) = tls();
    let url = format!("{}/healthz", server.client.base);
    let doubtful = Command::new("curl").args(["--silent", "--max-time", "20", &url]).output().unwrap();
    assert_eq!(doubtful.status.code(), Some(60), "curl: the certificate cannot be verified");
    let old = curl(&installation, &["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", &url]);
    assert_eq!(old.status.code(), Some(35), "curl: no handshake; {}", text(&old));
    let plain = curl(&installation, &[&url.replace("https:", "http:")]);
    assert!(!plain.status.success(), "{}", text(&plain));
    server.stop();
}

#[test]
fn the_printed_fingerprint_is_what_openssl_computes() {
    let installation = Installation::new();
    let output = installation.scratch().join("output");
    let mut child = fobd()
        .args(["serve", "--listen", "0.0.0.0:0", "--tls-name", "fobd.example", "--data-dir"])
        .arg(installation.data_dir())
        .env("PCSCLITE_CSOCK_NAME", "/nonexistent")
        .stdout(fs::File::create(&output).unwrap())
        .spawn()
        .unwrap();
    let printed = crate::support::wait_until("the fingerprint", || {
        let printed = fs::read_to_string(&output).unwrap();
        (printed.lines().count() == 2).then_some(printed)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    // On an address that others reach it speaks TLS without being told to.
    let (first, second) = printed.trim().split_once('\n').unwrap();
    assert!(first.starts_with("listening on https://0.0.0.0:"), "{first}");
    let shown = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-ext", "subjectAltName", "-in"])
        .arg(certificate(&installation))
        .output()
        .unwrap();
    let shown = text(&shown);
    let fingerprint = shown.lines().find_map(|line| line.split_once("Fingerprint=")).unwrap().1;
    assert_eq!(second, format!("certificate fingerprint (SHA-256): {fingerprint}"));
    for name in ["DNS:fobd.example", "DNS:localhost", "IP Address:127.0.0.1"] {
        assert!(shown.contains(name), "{name} is not in {shown}");
    }
}

#[test]
fn the_command_line_client_trusts_a_certificate_from_a_file_and_no_other() {
    let (installation, server) = tls();
    let call = |trusted: Option<PathBuf>| {
        let mut command = fobd();
        command.args(["domain", "list", "--server", &server.client.base, "--password-file"]);
        command.arg(installation.password_file());
        if let Some(path) = trusted {
            command.arg("--ca-file").arg(path);
        }
        command.output().unwrap()
    };
    let listed = call(Some(certificate(&installation)));
    assert!(listed.status.success(), "{}", text(&listed));
    let doubtful = call(None);
    assert_eq!(doubtful.status.code(), Some(4), "{}", text(&doubtful));
    let empty = call(Some(installation.password_file()));
    assert_eq!(empty.status.code(), Some(2));
    assert!(text(&empty).contains("no certificate in PEM in it"), "{}", text(&empty));
    server.stop();
}

#[test]
fn a_replaced_certificate_is_taken_while_serving() {
    let (installation, server) = tls();
    let url = format!("{}/healthz", server.client.base);
    let old = fs::read(certificate(&installation)).unwrap();
    // Another server makes another pair.
    let (other, second) = tls();
    second.stop();
    for file in ["key.pem", "certificate.pem"] {
        let to = installation.data_dir().join("tls").join(file);
        fs::rename(other.data_dir().join("tls").join(file), to).unwrap();
    }
    crate::support::wait_until("the new certificate", || {
        curl(&installation, &[&url]).status.success().then_some(())
    });
    fs::write(certificate(&installation), old).unwrap();
    assert_eq!(curl(&installation, &[&url]).status.code(), Some(60), "the old one is believed no more");
    server.stop();
}

#[test]
fn what_is_no_certificate_stops_the_start() {
    let installation = Installation::new();
    let file = installation.password_file();
    let path = file.display().to_string();
    let installation =
        installation.argument("--tls-cert").argument(&path).argument("--tls-key").argument(&path);
    let said = installation.refused();
    assert!(said.contains(&format!("{path}: no certificate in it")), "{said}");
}
