//! Logins of clients with basic authentication.

use hookwright_tests::Server;
use serde_json::json;

use crate::BINARY;

#[tokio::test]
async fn a_name_and_secret_of_another_tenants_login_are_refused() {
    let server = Server::start(BINARY).await;
    let (first, second) = (server.tenant("first").await, server.tenant("second").await);
    let login = json!({"name": "user", "secret": "the-same-secret"});
    first.post("/logins", login.clone()).await.expect(201);
    second.post("/logins", json!({"name": "user", "secret": "another-secret"})).await.expect(201);
    second.send("DELETE", "/api/v3/logins/user", "", &[]).await.expect(204);
    let refused = second.post("/logins", login).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("choose another secret"), "{refused}");
    assert_eq!(second.get("/logins").await.expect(200)["data"], json!([]));
}
