//! `hookwright demo --console`.

use std::process::Stdio;

use hookwright_tests::{Client, TIMEOUT, scratch};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::BINARY;

struct Demo {
    child: Child,
    base: String,
    tenant: String,
    operator: String,
}

impl Demo {
    async fn start(directory: &std::path::Path) -> Self {
        let mut child = BINARY
            .command()
            .args(["demo", "--console", "--no-color"])
            .env("TMPDIR", directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut links = Vec::new();
        while links.len() < 2 {
            let line = tokio::time::timeout(TIMEOUT, lines.next_line()).await.unwrap().unwrap();
            let line = line.expect("the demo prints its links");
            links.extend(line.find("http://").map(|at| line[at..].to_owned()));
        }
        // Read on, so that it never blocks on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let parts: Vec<_> = links.iter().map(|link| link.split_once("/#/link/").unwrap()).collect();
        let (base, tenant, operator) = (parts[0].0.to_owned(), parts[0].1.to_owned(), parts[1].1.to_owned());
        Self { child, base, tenant, operator }
    }

    /// A client that has signed in with a link.
    async fn signed_in(&self, link: &str) -> (Client, Value) {
        let client = Client::new(&self.base, "").without_key();
        let body = json!({"link": link, "embed": true}).to_string();
        let session = client.send("POST", "/console/session", body, &[]).await.expect(200);
        (Client::new(&self.base, session["token"].as_str().unwrap()), session)
    }
}

#[tokio::test]
async fn the_demo_has_something_to_find_and_to_mend_and_leaves_nothing_behind() {
    let directory = scratch::directory();
    let mut demo = Demo::start(directory.path()).await;
    let (shop, session) = demo.signed_in(&demo.tenant).await;
    assert_eq!(session["tenant"]["name"], "shop.example");
    let hooks = shop.get("/hooks").await.expect(200);
    let hooks = hooks["data"].as_array().unwrap();
    let of = |name: &str| {
        hooks.iter().find(|hook| hook["description"].as_str().unwrap().starts_with(name)).unwrap()
    };
    let chat = of("Chat").clone();
    // It fails for an order without a customer, and the fault says where in the script.
    let failed = delivery_of(&shop, &chat, "waiting").await;
    let attempt = &failed["attempts"][0];
    assert_eq!(attempt["outcome"], "faulted", "{attempt}");
    let message = attempt["fault"]["message"].as_str().unwrap();
    assert!(message.contains("of null at line 4"), "{message}");
    let script = chat["pipeline"][0]["settings"]["script"].as_str().unwrap();
    let mended =
        script.replace("customer.name.split(\" \")[0]", "customer?.name.split(\" \")[0] ?? \"A guest\"");
    assert_ne!(script, mended);
    let pipeline = json!({"pipeline": [{"plugin": "javascript", "settings": {"script": mended}}]});
    let hook = chat["id"].as_str().unwrap();
    shop.patch(&format!("/hooks/{hook}"), pipeline).await.expect(200);
    let id = failed["id"].as_str().unwrap();
    shop.post(&format!("/deliveries/{id}/retry"), json!({})).await.expect(202);
    shop.deliveries_when(failed["event"].as_str().unwrap(), |delivery| {
        delivery["hook"] != chat["id"] || delivery["state"] == "succeeded"
    })
    .await;
    for state in ["succeeded", "dropped"] {
        let hook = if state == "dropped" { of("Accounting") } else { of("Warehouse") };
        delivery_of(&shop, hook, state).await;
    }
    let (operator, session) = demo.signed_in(&demo.operator).await;
    assert_eq!(session["role"], "operator");
    assert_eq!(operator.get("/tenants").await.expect(200)["data"].as_array().unwrap().len(), 2);
    let pid = demo.child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let ended = tokio::time::timeout(TIMEOUT, demo.child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "files are left behind");
}

/// Waits for a delivery of a hook that was attempted and is in a state, and returns it with its attempts.
async fn delivery_of(client: &Client, hook: &Value, state: &str) -> Value {
    let began = std::time::Instant::now();
    let path = format!("/deliveries?hook={}&state={state}", hook["id"].as_str().unwrap());
    loop {
        let list = client.get(&path).await.expect(200);
        let attempted =
            list["data"].as_array().unwrap().iter().find(|delivery| delivery["attempt_count"] != 0);
        if let Some(first) = attempted {
            return client.get(&format!("/deliveries/{}", first["id"].as_str().unwrap())).await.expect(200);
        }
        assert!(began.elapsed() < TIMEOUT, "no delivery of {hook} is {state}");
        tokio::task::yield_now().await;
    }
}
