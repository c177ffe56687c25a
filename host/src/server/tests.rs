use axum::Extension;
use axum::routing::get;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

use super::*;
use crate::clients::{Callers, ClientLimits, TrustedProxies};
use crate::clock;
use crate::domain::TenantId;
use crate::metrics::http_server;

/// A server whose handler at `/` reports that it has begun, and then that its client is gone.
fn serving(stop: &CancellationToken) -> (SocketAddr, mpsc::UnboundedReceiver<&'static str>) {
    let (tell, told) = mpsc::unbounded_channel();
    let handler = move |presence: ClientPresence| async move {
        let _ = tell.send("begun");
        presence.gone().await;
        let _ = tell.send("gone");
    };
    (start(Router::new().route("/", get(handler)), stop), told)
}

/// Serves `router` until `stop`.
fn start(router: Router, stop: &CancellationToken) -> SocketAddr {
    let (listener, address) = listen();
    let cores = Arc::new(Cores::start(stop).unwrap());
    tokio::spawn(serve(listener, served(router, cores, clients(16, 16)), Stop::default()));
    address
}

fn served(router: Router, cores: Arc<Cores>, clients: Arc<Clients>) -> Served {
    let access_log = AccessLog::default();
    access_log.set(true);
    Served { router, clients, cores: Some(cores), certificate: None, access_log }
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn clients(connections: usize, connections_per_address: usize) -> Arc<Clients> {
    Clients::new(ClientLimits {
        connections,
        spare_connections: 4,
        connections_per_address,
        trusted_proxies: TrustedProxies::default(),
        request_bytes: 1 << 20,
        answer_bytes: 48 << 20,
        callers: Callers::All,
        is_tls: false,
    })
}

/// Requests `/` and returns the status of the response. Reads nothing else of it.
async fn ask(address: SocketAddr) -> (TcpStream, String) {
    ask_by("GET", address).await
}

async fn ask_by(method: &str, address: SocketAddr) -> (TcpStream, String) {
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
    // A connection that is refused may have been closed already.
    let _ = client.write_all(head.as_bytes()).await;
    let mut start = [0; 12];
    let read = client.read_exact(&mut start).await;
    let status = read.map_or("none".into(), |_| String::from_utf8_lossy(&start[9..]));
    let status = status.into_owned();
    (client, status)
}

/// How many GETs were counted with this type of error.
fn counted(error_type: &str) -> u64 {
    let is_wanted = |labels: &http_server::Labels| {
        ["error_type", "http_request_method"]
            .into_iter()
            .zip([error_type, "GET"])
            .all(|(name, value)| labels.iter().any(|(label, is)| (*label, is.as_str()) == (name, value)))
    };
    let wanted = http_server::requests().filter(|(labels, _)| is_wanted(labels));
    wanted.map(|(_, snapshot)| snapshot.count).sum()
}

/// The fields in the head of a response, on a connection whose status has been read.
async fn fields(client: TcpStream) -> String {
    let (mut lines, mut fields) = (BufReader::new(client).lines(), String::new());
    while let Some(line) = lines.next_line().await.unwrap().filter(|line| !line.is_empty()) {
        fields = fields + &line + "\n";
    }
    fields
}

#[tokio::test]
async fn a_handler_learns_that_its_client_is_gone_and_runs_on_and_the_request_counts() {
    let stop = CancellationToken::new();
    let before = counted(http_server::DISCONNECTED);
    let (address, mut told) = serving(&stop);
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(told.recv().await, Some("begun"));
    assert!(told.try_recv().is_err(), "the client is still there");
    drop(client);
    assert_eq!(told.recv().await, Some("gone"));
    let is_counted = async {
        while counted(http_server::DISCONNECTED) == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_counted).await.expect("the request is counted");
    stop.cancel();
}

#[tokio::test]
async fn an_unread_response_counts_as_memory_of_its_tenant() {
    let stop = CancellationToken::new();
    // More than the system keeps of it.
    let handler = |Extension(client): Extension<Arc<Client>>| async move {
        client.act_for(TenantId(1)).unwrap();
        vec![0_u8; 30 << 20]
    };
    let address = start(Router::new().route("/", get(handler).post(handler)), &stop);
    let (unread, status) = ask(address).await;
    assert_eq!(status, "200");
    let before = counted("503");
    let (refused, status) = ask(address).await;
    assert_eq!(status, "503");
    assert_eq!(counted("503"), before + 1, "what the client gets counts");
    let fields = fields(refused).await;
    assert!(fields.contains("x-request-id: ") && fields.contains("retry-after: "), "{fields}");
    assert_eq!(ask_by("POST", address).await.1, "200", "a change is reported even if there is no room");
    drop(unread);
    // The connection ends when the system has noticed.
    let again = async { while ask(address).await.1 != "200" {} };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("its memory is free again");
    stop.cancel();
}

/// More than the system keeps of a response.
const LARGE: usize = 30 << 20;

fn large() -> Router {
    Router::new().route("/", get(async || vec![b'a'; LARGE]))
}

/// What is left of the response on a connection.
async fn rest(mut client: TcpStream) -> String {
    let mut rest = Vec::new();
    // A connection that is cut may be reset.
    let _ = client.read_to_end(&mut rest).await;
    String::from_utf8(rest).unwrap()
}

#[tokio::test]
async fn a_response_that_is_being_written_is_not_cut_at_shutdown() {
    let cores_stop = CancellationToken::new();
    let (listener, address) = listen();
    let cores = Arc::new(Cores::start(&cores_stop).unwrap());
    let stop = Stop::default();
    let serving = tokio::spawn(serve(listener, served(large(), cores, clients(16, 16)), stop.clone()));
    let (client, status) = ask(address).await;
    assert_eq!(status, "200");
    stop.by(Instant::from_std(clock::monotonic()) + Duration::from_millis(200));
    serving.await.unwrap();
    let rest = rest(client).await;
    assert_eq!(rest.split_once("\r\n\r\n").map(|(_, body)| body.len()), Some(LARGE));
    cores_stop.cancel();
}

#[tokio::test]
async fn a_response_that_is_being_written_makes_no_room_and_one_that_is_written_does() {
    let stop = CancellationToken::new();
    let (listener, address) = listen();
    let cores = Arc::new(Cores::start(&stop).unwrap());
    tokio::spawn(serve(listener, served(large(), cores, clients(16, 1)), Stop::default()));
    let (mut first, status) = ask(address).await;
    assert_eq!(status, "200");
    assert_ne!(ask(address).await.1, "200", "the address has one connection already, which is busy");
    let mut read = 0;
    let mut buffer = vec![0; 1 << 20];
    while read < LARGE {
        let more = first.read(&mut buffer).await.unwrap();
        assert_ne!(more, 0, "the response is cut");
        read += more;
    }
    let again = async { while ask(address).await.1 != "200" {} };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("the first is idle and makes room");
    stop.cancel();
}
