//! The admin listener.

use hookwright_tests::{Client, Server, server::ADMIN_KEY};
use serde_json::json;

use super::refused;
use crate::BINARY;

fn admin(server: &Server) -> Client {
    Client::new(server.admin().expect("it has an admin listener"), ADMIN_KEY)
}

async fn status(client: &Client, path: &str) -> u16 {
    client.send("GET", path, "", &[]).await.status
}

#[tokio::test]
async fn probes_are_on_the_admin_listener_and_the_api_is_not() {
    let server = Server::start(BINARY).await;
    let (api, admin) = (server.operator(), admin(&server));
    assert_eq!(status(&admin.clone().without_key(), "/livez").await, 200);
    for path in ["/api/v3/tenants", "/api/v3/openapi.json", "/health", "/nothing"] {
        let problem = admin.send("GET", path, "", &[]).await.expect(404);
        assert_eq!(problem["type"], "/problems/not-found", "{path}: {problem}");
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(status(&api, path).await, 404, "{path}");
    }
    assert_eq!(status(&api, "/api/v3/tenants").await, 200);
}

#[tokio::test]
async fn an_engine_without_an_admin_listener_serves_the_api() {
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_ADMIN_LISTEN", "off")]).await;
    assert_eq!(server.admin(), None);
    assert_eq!(status(&server.operator(), "/api/v3/tenants").await, 200);
}

#[tokio::test]
async fn an_address_that_cannot_be_used_is_explained() {
    let server = Server::start(BINARY).await;
    let (api, admin) = (address(server.base()), address(server.admin().unwrap()));
    for (settings, expected) in [
        (
            vec![("HOOKWRIGHT_ADMIN_LISTEN", admin)],
            format!(
                "cannot listen on {admin} (setting `admin_listen`); another process listens there: stop it, or set `admin_listen` to another address, or to `off`: "
            ),
        ),
        (
            vec![("HOOKWRIGHT_LISTEN", api)],
            format!(
                "cannot listen on {api} (setting `listen`); another process listens there: stop it, or set `listen` to another address: "
            ),
        ),
        (
            // An address for documentation is no machine's (RFC 5737).
            vec![("HOOKWRIGHT_LISTEN", "192.0.2.1:0")],
            "cannot listen on 192.0.2.1:0 (setting `listen`); this machine has no such address: change `listen`: ".to_owned(),
        ),
        (
            vec![("HOOKWRIGHT_OPERATOR_API", "admin")],
            "setting `operator_api = admin` needs `admin_listen`".to_owned(),
        ),
        (vec![("HOOKWRIGHT_OPERATOR_API", "both")], "must be shared or admin".to_owned()),
        (
            vec![("HOOKWRIGHT_ADMIN_LISTEN", "8081")],
            "must be `off` or an IP address and a port, such as 127.0.0.1:8080 or [::]:8080".to_owned(),
        ),
    ] {
        let said = refused(&settings).await;
        assert!(said.contains(&expected), "{said}\nshould contain {expected}");
    }
}

fn address(url: &str) -> &str {
    url.strip_prefix("http://").unwrap()
}

/// A plain request without a body must not reach what needs no key.
#[tokio::test]
async fn no_hook_reaches_the_admin_listener() {
    let server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    let url = format!("{}/livez", server.admin().unwrap());
    let hook = json!({"url": url, "types": ["*"], "retry": {"schedule_s": []}});
    client.post("/hooks", hook).await.expect(201);
    let event = client.publish("t", json!({})).await;
    let delivery = client.finished(&event).await.remove(0);
    assert_eq!(delivery["attempts"][0]["error"]["kind"], "egress-refused", "{delivery}");
}

#[tokio::test]
async fn operators_keys_can_be_limited_to_the_admin_listener() {
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_OPERATOR_API", "admin")]).await;
    let admin = admin(&server);
    admin.post("/tenants", json!({"name": "acme"})).await.expect(201);
    let for_tenant = admin.clone().with_header("Hookwright-Tenant", "acme");
    let key = for_tenant.post("/keys", json!({"name": "first"})).await.expect(201);
    let key = key["key"].as_str().unwrap();
    assert_eq!(status(&for_tenant, "/api/v3/hooks/").await, 200, "as on the API's listener, with a slash");
    assert_eq!(status(&admin, "/livez").await, 200);

    // The operator's key is worth nothing on the API's listener, on any surface.
    for path in ["/api/v3/tenants", "/api/v3/hooks", "/api/v1/projects/1/web_hook"] {
        let refused =
            server.operator().with_header("Hookwright-Tenant", "acme").send("GET", path, "", &[]).await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(String::from_utf8_lossy(&refused.bytes).contains("admin listener"), "{path}: {refused:?}");
    }
    let wrong = Client::new(server.base(), "another-operator-key-with-characters");
    assert_eq!(
        status(&wrong, "/api/v3/tenants").await,
        401,
        "only the owner of a key learns that it is valid"
    );

    // A tenant's key is worth nothing on the admin listener, where only v3 is.
    let tenant = Client::new(server.base(), key);
    assert_eq!(status(&tenant, "/api/v3/hooks").await, 200);
    let tenant = tenant.at(server.admin().unwrap());
    assert_eq!(status(&tenant, "/api/v3/hooks").await, 403);
    for path in ["/api/v2/hooks", "/api/v1/time"] {
        assert_eq!(status(&admin, path).await, 404, "{path}");
    }
}
