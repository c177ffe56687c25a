//! SIGHUP: settings and certificates are read anew.

use std::io::Write as _;

use hookwright_tests::{Client, Receiver};
use serde_json::{Value, json};

use super::certificates::{Files, Issued, get};
use super::log_lines::LogLines;
use super::tls::{address, settings};
use crate::{BINARY, hook};

const DONE: &str = "settings and certificates were read anew";
const FAILED: &str = "cannot take over the settings; nothing has changed";

#[tokio::test]
async fn a_new_certificate_is_shown_and_open_connections_stay() {
    let (first, second, third) = (Issued::new(), Issued::new(), Issued::new());
    let files = Files::with(&first);
    let settings = settings(&files);
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (server, mut log) = LogLines::of(BINARY, &settings).await;
    let (api, admin) = (address(server.base()), address(server.admin().unwrap()));
    let mut open = first.connect(api).await.unwrap();
    assert_eq!(get(&mut open, "/health").await.unwrap(), "200");

    files.write(&second.certificate, &second.key);
    server.signal("-HUP").await;
    log.until(DONE).await;
    assert_eq!(get(&mut open, "/health").await.unwrap(), "200", "the connection stays");
    for listener in [api, admin] {
        assert!(second.connect(listener).await.is_ok());
        assert!(first.connect(listener).await.is_err());
    }

    for (certificate, key, expected) in [
        (&third.certificate, &second.key, "key.pem is not that of the first certificate in "),
        (&String::new(), &second.key, "chain.pem: expected certificates in PEM"),
    ] {
        files.write(certificate, key);
        server.signal("-HUP").await;
        let said = log.until(FAILED).await.pop().unwrap();
        assert!(said.contains(expected), "{said}");
        assert!(second.connect(api).await.is_ok(), "the old certificate stays");
    }
    assert_eq!(get(&mut open, "/health").await.unwrap(), "200");
}

#[tokio::test]
async fn a_certificate_that_expires_soon_or_is_open_to_all_is_logged() {
    use std::os::unix::fs::PermissionsExt;
    let issued = Issued::expiring(2020);
    let files = Files::with(&issued);
    std::fs::set_permissions(files.key(), PermissionsExt::from_mode(0o644)).unwrap();
    let settings = settings(&files);
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (_server, mut log) = LogLines::of(BINARY, &settings).await;
    let said = log.until("every user of this machine can read the private key").await.pop().unwrap();
    assert!(said.contains("key.pem") && said.contains("644"), "{said}");
    let said = log.until("the certificate expires soon or has expired").await.pop().unwrap();
    assert!(said.contains("days_left=-") && said.contains("listener=\"listen\""), "{said}");
}

/// The masked headers and the error of the last attempt of a new event's delivery.
async fn attempt(client: &Client) -> Value {
    let event = client.publish("t", json!({})).await;
    client.finished(&event).await[0]["attempts"][0].clone()
}

#[tokio::test]
async fn each_changed_setting_takes_effect_or_is_said_to_need_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hookwright.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("egress_allow = [\"127.0.0.0/8\"]\n");
    let path = file.to_str().unwrap();
    let settings = [("HOOKWRIGHT_CONFIG", path), ("HOOKWRIGHT_EGRESS_ALLOW", "")];
    let (server, mut log) = LogLines::of(BINARY, &settings).await;
    let client = server.tenant("acme").await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({"retry": {"schedule_s": []}})).await;
    let agent = attempt(&client).await["request"]["headers"]["user-agent"].clone();
    assert!(agent.as_str().unwrap().starts_with("Hookwright"), "{agent}");

    write(
        "egress_allow = [\"127.0.0.0/8\"]\nmasked_headers = [\"user-agent\"]\nqueue_limit = 7\nlog = \"debug\"\n",
    );
    server.signal("-HUP").await;
    let said = log.until(DONE).await.join("\n");
    for (setting, effect) in
        [("masked_headers", "in effect"), ("log", "in effect"), ("queue_limit", "needs a restart")]
    {
        let is_said = |line: &str| line.contains(&format!("setting=\"{setting}\"")) && line.contains(effect);
        assert!(said.lines().any(is_said), "{setting}: {said}");
    }
    assert!(said.contains("changed=3"), "{said}");
    let masked = attempt(&client).await["request"]["headers"]["user-agent"].clone();
    assert_ne!(masked, agent);
    // A client that disconnects within a request is no more than that worth.
    std::net::TcpStream::connect(server.base().trim_start_matches("http://"))
        .unwrap()
        .write_all(b"GET / HT")
        .unwrap();
    log.until(" DEBUG ").await;

    for (text, expected) in [
        ("log = \"warn\"\nqueue_limit = \"many\"\n", "setting `queue_limit` = `many`"),
        ("log = ", "is not valid TOML"),
        ("egress_ca_file = \"/nowhere/ca.pem\"\n", "cannot use the setting `egress_ca_file`"),
    ] {
        write(text);
        server.signal("-HUP").await;
        let said = log.until(FAILED).await.pop().unwrap();
        assert!(said.contains(expected), "{said}");
        assert_eq!(attempt(&client).await["response"]["status"], 200, "nothing has changed");
    }

    // The first reload replaced the connection to the receiver; those that failed did not. The open one serves no further
    // request, either.
    assert_eq!(receiver.connections(), 2);
    write("");
    server.signal("-HUP").await;
    log.until(DONE).await;
    assert_eq!(attempt(&client).await["error"]["kind"], "egress-refused");
}
