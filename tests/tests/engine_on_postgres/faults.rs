//! What a node does when PostgreSQL fails: it refuses with 503 and `Retry-After`, keeps what it has accepted, and goes on by
//! itself.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use hookwright::storage::postgres::temporary::{self, TemporaryServer};
use hookwright_tests::database::Database;
use hookwright_tests::proxy::{Network, Proxy};
use hookwright_tests::{Client, Receiver, Response, Server};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use sqlx_postgres::PgConnection;

use crate::metrics::scrape::{Scrape, scrape_until};
use crate::{BINARY, hook};

/// A server of its own, whose failures no other test sees.
struct World {
    server: TemporaryServer,
    proxy: Proxy,
    database: Database,
    /// The URL of the database through the proxy.
    proxied: String,
}

impl World {
    async fn new() -> Self {
        let binaries = temporary::installed().expect("PostgreSQL is installed");
        let server = TemporaryServer::start(&binaries, false).expect("PostgreSQL starts");
        let url = server.url();
        let dir = url.rsplit('@').next().expect("a host").replace("%2F", "/");
        let proxy = Proxy::start(dir.as_ref()).await;
        let database = Database::on(&url, "engine").await;
        let world = Self {
            proxied: format!("postgres://engine@{}/engine", proxy.address()),
            server,
            proxy,
            database,
        };
        // As operators are told to do: the engine's role is no superuser.
        world.run("CREATE ROLE engine LOGIN; ALTER DATABASE engine OWNER TO engine; ALTER SCHEMA public OWNER TO engine")
            .await;
        world
    }

    /// Runs SQL as the superuser, without the proxy.
    async fn run(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.database.url()).await.expect("the server is there");
        connection
            .execute(AssertSqlSafe(sql.to_owned()))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.expect("the server is there");
    }

    /// Ends the node's connections, so that new ones have what `sql` sets.
    async fn run_and_disconnect(&self, sql: &str) {
        self.run(sql).await;
        self.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'engine'").await;
    }

    async fn node(&self) -> Server {
        Server::start_with(BINARY, &[("HOOKWRIGHT_DATABASE", &self.proxied)]).await
    }

    async fn node_beside_the_proxy(&self) -> Server {
        Server::start_with(BINARY, &[("HOOKWRIGHT_DATABASE", &self.database.url())]).await
    }
}

fn event() -> String {
    json!({"type": "order.paid", "data": {"number": 1}}).to_string()
}

/// Method, path, body and headers.
type Request = (&'static str, &'static str, String, Vec<(&'static str, String)>);

/// A request on each surface that needs the database.
fn requests(key: &str) -> [Request; 5] {
    let token = vec![("x-access-token", key.to_owned())];
    [
        ("POST", "/api/v3/events", event(), vec![]),
        ("GET", "/api/v3/deliveries", String::new(), vec![]),
        ("PUT", "/api/v3/apizee/webhook", json!({"url": "https://example.com/"}).to_string(), vec![]),
        ("GET", "/api/v1/projects/1/web_hook", String::new(), vec![]),
        ("GET", "/api/v2/hooks", String::new(), token),
    ]
}

async fn send(client: &Client, request: &(&str, &str, String, Vec<(&str, String)>)) -> Response {
    let (method, path, body, headers) = request;
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let response = client.try_send(method, path, body.clone(), &headers).await.unwrap();
    assert_ne!(response.status, 500, "{method} {path}: {}", String::from_utf8_lossy(&response.bytes));
    let says_when = response
        .headers
        .get("retry-after")
        .is_some_and(|value| value.to_str().unwrap().parse::<u32>().is_ok());
    assert_eq!(says_when, response.status == 503, "{method} {path}: {response:?}");
    response
}

/// Sends until the answer has this status. No answer on the way is a 500, and each 503 has `Retry-After`.
async fn until(
    client: &Client,
    request: &(&str, &str, String, Vec<(&str, String)>),
    status: u16,
) -> Response {
    let began = Instant::now();
    loop {
        let response = send(client, request).await;
        if response.status == status {
            return response;
        }
        assert!(began.elapsed() < hookwright_tests::TIMEOUT, "{request:?}: still {response:?}");
    }
}

async fn until_all(client: &Client, key: &str, status: u16) {
    for request in requests(key) {
        until(client, &request, status).await;
    }
}

/// Publishes until an event is accepted, and returns its id.
async fn until_accepted(client: &Client) -> String {
    let accepted = until(client, &("POST", "/api/v3/events", event(), vec![]), 202).await;
    accepted.json()["id"].as_str().expect("an accepted event has an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_its_database_refuses_everywhere_and_goes_on_when_it_is_back() {
    let world = World::new().await;
    let log = tempfile::NamedTempFile::new().unwrap();
    let environment = [("HOOKWRIGHT_DATABASE", world.proxied.as_str())];
    let node = Server::start_logging_to(BINARY, &environment, log.reopen().unwrap()).await;
    let key = node.tenant_key("acme").await;
    let client = Client::new(node.base(), &key);
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    let began = Instant::now();
    let mut accepted = HashSet::new();
    for stop in [TemporaryServer::stop, TemporaryServer::kill] {
        for _ in 0..50 {
            accepted.insert(client.publish("order.paid", json!({"number": 1})).await);
        }
        stop(&world.server).unwrap();
        until_all(&client, &key, 503).await;
        let live = client.send("GET", "/health/live", "", &[]).await;
        assert_eq!(live.status, 200, "a restart of the process would not help");
        assert_eq!(client.send("GET", "/health", "", &[]).await.status, 503);
        world.server.start_again().unwrap();
        accepted.insert(until_accepted(&client).await);
    }
    while !accepted.is_empty() {
        accepted.remove(receiver.next().await.header("webhook-id"));
    }
    let log = std::fs::read_to_string(log.path()).unwrap();
    let lines = log.lines().filter(|line| line.contains("requests fail")).count();
    let most = 1 + began.elapsed().as_secs() / 10;
    assert!((1..=most).contains(&u64::try_from(lines).unwrap()), "one line in ten seconds: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_within_five_seconds_where_the_database_cannot_be_reached() {
    let world = World::new().await;
    let (cut_off, other) = (world.node().await, world.node_beside_the_proxy().await);
    let key = other.tenant_key("acme").await;
    let revoked = other.operator().with_header("hookwright-tenant", "acme");
    let created = revoked.post("/keys", json!({"name": "revoked"})).await.expect(201);
    let (id, revoked_key) = (created["id"].as_str().unwrap(), created["key"].as_str().unwrap());
    let client = Client::new(cut_off.base(), revoked_key);
    let read = ("GET", "/api/v3/hooks", String::new(), vec![]);
    // By the operator: logins with an unknown key are limited.
    let operator = cut_off.operator().with_header("hookwright-tenant", "acme");
    let is_known = async || {
        let keys = until(&operator, &("GET", "/api/v3/keys", String::new(), vec![]), 200).await;
        keys.json()["data"].as_array().unwrap().iter().any(|key| key["id"] == id)
    };
    while !is_known().await {}
    assert_eq!(send(&client, &read).await.status, 200);
    world.proxy.set(Network::Silent);
    revoked.send("DELETE", &format!("/api/v3/keys/{id}"), "", &[]).await.expect(204);
    let revoked_at = Instant::now();
    loop {
        let asked_after = revoked_at.elapsed();
        let response = send(&client, &read).await;
        if response.status != 200 {
            assert_eq!(response.status, 503);
            break;
        }
        assert!(asked_after < Duration::from_secs(5), "{asked_after:?} after the key was revoked");
    }
    for request in requests(revoked_key) {
        assert_eq!(send(&client, &request).await.status, 503, "{request:?}");
    }
    // Failed logins must not be told apart from others, and probes need no key.
    let stranger = Client::new(cut_off.base(), "hwk_unknown");
    assert_eq!(send(&stranger, &read).await.status, 503);
    assert_eq!(client.send("GET", "/health/live", "", &[]).await.status, 200);
    let admin = Client::new(cut_off.admin().unwrap(), &key);
    let ready = ("GET", "/readyz", String::new(), vec![]);
    while !until(&admin, &ready, 503).await.json()["detail"].as_str().unwrap().contains("7 seconds") {}
    world.proxy.set(Network::Up);
    until(&admin, &ready, 200).await;
    until(&client, &read, 401).await;
    until(&Client::new(cut_off.base(), &key), &read, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_nobody_closes_are_given_up() {
    let world = World::new().await;
    let node = world.node().await;
    let client = node.tenant("acme").await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    // The server's machine is gone without a word, and another one has its address.
    world.proxy.abandon();
    until_accepted(&client).await;
    receiver.next().await;
    world.proxy.set(Network::Down);
    until(&client, &("GET", "/api/v3/deliveries", String::new(), vec![]), 503).await;
    world.proxy.set(Network::Up);
    until_accepted(&client).await;
    receiver.next().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_the_database_is_a_503() {
    let world = World::new().await;
    let node = world.node().await;
    let client = node.tenant("acme").await;
    let publish = ("POST", "/api/v3/events", event(), vec![]);
    let create = ("POST", "/api/v3/projects", json!({"id": 1}).to_string(), vec![]);
    for (code, what) in [
        ("53100", "disk full"),
        ("58030", "I/O error"),
        ("53200", "out of memory"),
        ("53300", "too many clients"),
        ("25006", "read-only after a failover"),
        ("57014", "cancelled"),
        ("57P01", "shutting down"),
        ("57P02", "crashed"),
        ("57P03", "starting"),
        ("08006", "disconnected"),
        ("40001", "serialization failure, each time"),
        ("40P01", "deadlock, each time"),
        ("55P03", "lock timeout"),
        ("XX000", "internal error"),
    ] {
        let fail = format!(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = '{what}'; END $$; \
            CREATE TRIGGER fail BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION fail(); \
            CREATE TRIGGER fail BEFORE INSERT ON projects FOR EACH ROW EXECUTE FUNCTION fail()"
        );
        world.run(&fail).await;
        for request in [&publish, &create] {
            assert_eq!(send(&client, request).await.status, 503, "{code} {what}");
        }
        world.run("DROP FUNCTION fail CASCADE").await;
        until_accepted(&client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_others_made_fail_is_repeated() {
    let world = World::new().await;
    let node = world.node().await;
    let client = node.tenant("acme").await;
    let fail_once = "CREATE SEQUENCE tries; ALTER SEQUENCE tries OWNER TO engine; \
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            IF nextval('tries') % 2 = 1 THEN RAISE EXCEPTION USING ERRCODE = '?????'; END IF; RETURN NEW; END $$; \
        CREATE TRIGGER fail BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION fail()";
    for code in ["40001", "40P01"] {
        world.run(&fail_once.replace("?????", code)).await;
        client.publish("order.paid", json!({"number": 1})).await;
        world.run("DROP FUNCTION fail CASCADE; DROP SEQUENCE tries").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_waits_for_connections_and_for_a_database_that_can_be_written() {
    let world = World::new().await;
    let node = world.node().await;
    let client = node.tenant("acme").await;
    let publish = ("POST", "/api/v3/events", event(), vec![]);
    for (fails, mended) in [
        ("ALTER ROLE engine CONNECTION LIMIT 0", "ALTER ROLE engine CONNECTION LIMIT -1"),
        (
            "ALTER ROLE engine SET default_transaction_read_only = on",
            "ALTER ROLE engine RESET default_transaction_read_only",
        ),
    ] {
        world.run_and_disconnect(fails).await;
        until(&client, &publish, 503).await;
        world.run(mended).await;
        until_accepted(&client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_why_there_is_no_connection_and_responses_do_not() {
    let world = World::new().await;
    let log = tempfile::NamedTempFile::new().unwrap();
    let environment = [("HOOKWRIGHT_DATABASE", world.proxied.as_str())];
    let node = Server::start_logging_to(BINARY, &environment, log.reopen().unwrap()).await;
    let client = node.tenant("acme").await;
    let publish = ("POST", "/api/v3/events", event(), vec![]);
    world.run_and_disconnect("ALTER ROLE engine CONNECTION LIMIT 0").await;
    let began = Instant::now();
    loop {
        let response = until(&client, &publish, 503).await;
        let words = String::from_utf8_lossy(&response.bytes).into_owned();
        assert!(!words.contains("too many connections"), "{words}");
        let log = std::fs::read_to_string(log.path()).unwrap();
        if log.contains("cannot connect: PostgreSQL says: too many connections") {
            break;
        }
        assert!(began.elapsed() < hookwright_tests::TIMEOUT, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_shows_who_is_alive() {
    let world = World::new().await;
    let url = world.database.url();
    let nodes = async || {
        let mut command = BINARY.command();
        let output = command.args(["nodes", "--json", "--database", &url]).output().await.unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, _, error) = nodes().await;
    assert!(code == Some(1) && error.contains("no engine has used this database yet"), "{error}");
    let (mut one, _two) = (world.node().await, world.node().await);
    one.kill().await;
    let began = Instant::now();
    loop {
        let (code, text, error) = nodes().await;
        assert_eq!(code, Some(0), "{error}");
        let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut states: Vec<_> =
            shown["data"].as_array().unwrap().iter().map(|node| node["state"].as_str().unwrap()).collect();
        states.sort_unstable();
        match states.as_slice() {
            ["alive", "ended"] => return,
            ["alive", "alive" | "silent"] => {}
            others => panic!("{others:?}"),
        }
        assert!(began.elapsed() < hookwright_tests::TIMEOUT, "{text}");
    }
}

/// It takes a quarter of a minute, until figures count as old.
#[tokio::test(flavor = "multi_thread")]
async fn figures_that_cannot_be_read_any_more_are_absent_and_the_others_stay() {
    let world = World::new().await;
    let node = world.node().await;
    let read = ["hookwright_oldest_due_seconds", "hookwright_tenants_waiting", "hookwright_database_bytes"];
    let are_there = |scrape: &Scrape| read.iter().all(|name| scrape.has(name));
    scrape_until(&node, are_there).await;
    world.proxy.set(Network::Down);
    let left = scrape_until(&node, |scrape| read.iter().all(|name| !scrape.has(name))).await;
    for name in ["hookwright_build_info", "hookwright_hooks", "hookwright_deliveries"] {
        assert!(left.has(name), "{name}");
    }
    world.proxy.set(Network::Up);
    scrape_until(&node, are_there).await;
}
