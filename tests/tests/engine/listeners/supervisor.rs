//! Service managers: notifications, and sockets that are bound already.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use hookwright_tests::{Server, TIMEOUT, scratch};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

use super::refused;
use crate::BINARY;

/// What a service manager hears.
struct Notifications {
    socket: UnixDatagram,
    dir: tempfile::TempDir,
}

impl Notifications {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { socket: UnixDatagram::bind(dir.path().join("notify")).unwrap(), dir }
    }

    fn path(&self) -> String {
        self.dir.path().join("notify").to_str().unwrap().to_owned()
    }

    /// The next message that contains `text`.
    async fn until(&self, text: &str) -> String {
        let next = async {
            loop {
                let mut message = vec![0; 4096];
                let length = self.socket.recv(&mut message).await.unwrap();
                let message = String::from_utf8_lossy(&message[..length]).into_owned();
                if message.contains(text) {
                    return message;
                }
                assert!(!message.contains("READY=1"), "not before `{text}`: {message}");
            }
        };
        tokio::time::timeout(TIMEOUT, next).await.unwrap_or_else(|_| panic!("`{text}` is not said"))
    }
}

#[tokio::test]
async fn the_service_manager_hears_of_each_state() {
    let heard = Notifications::new();
    let path = heard.path();
    let settings = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "3000000")];
    let mut server = Server::start_with(BINARY, &settings).await;
    heard.until("STATUS=starting").await;
    let ready = heard.until("READY=1").await;
    assert!(ready.contains(&format!("STATUS=serving on {}\n", server.base())), "{ready}");
    for _ in 0..2 {
        heard.until("WATCHDOG=1").await;
    }
    server.signal("-HUP").await;
    let reloading = heard.until("RELOADING=1").await;
    let (_, since) = reloading.split_once("MONOTONIC_USEC=").unwrap();
    assert!(since.lines().next().unwrap().parse::<u64>().unwrap() > 0);
    heard.until("READY=1").await;
    assert_eq!(server.terminate().await, Some(0));
    let stopping = heard.until("STOPPING=1").await;
    // The grace period, and a margin.
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=12000000\n"), "{stopping}");
}

/// An engine that was started with sockets, as systemd does it.
struct Activated {
    child: Child,
    greeting: Vec<String>,
}

impl Activated {
    /// Passes `api` as descriptor 3 and `admin` as 4, with these names.
    async fn start(api: &TcpListener, admin: &TcpListener, names: &str, dir: &std::path::Path) -> Self {
        let script = r#"exec 3<&0 4<&2 </dev/null 2>/dev/null
            export LISTEN_FDS=2 LISTEN_PID=$$; exec "$0" "$@""#;
        let inherited = |listener: &TcpListener| Stdio::from(OwnedFd::from(listener.try_clone().unwrap()));
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(BINARY.to_string()).args(["serve", "--data-dir"]).arg(dir);
        command.env("LISTEN_FDNAMES", names).kill_on_drop(true);
        command.stdin(inherited(api)).stderr(inherited(admin)).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut greeting = Vec::new();
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                greeting.push(line);
                if greeting.last().is_some_and(|line| line.contains("openapi.json")) {
                    break;
                }
            }
        };
        tokio::time::timeout(TIMEOUT, reading).await.unwrap();
        // The first start says more after this, and an engine that cannot write its greeting ends.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, greeting }
    }

    async fn terminate(mut self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        let ended = tokio::time::timeout(TIMEOUT, self.child.wait()).await.unwrap().unwrap();
        assert!(ended.success());
    }
}

fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Sends a request that nobody may have accepted yet.
fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_wait_in_passed_sockets_while_the_engine_restarts() {
    let dir = scratch::directory();
    let data_dir = dir.path().join("data");
    let ((api, api_address), (admin, admin_address)) = (bound(), bound());
    for names in ["http:admin", "http:admin"] {
        let waiting = [ask(api_address, "/health/live"), ask(admin_address, "/livez")];
        let engine = Activated::start(&api, &admin, names, &data_dir).await;
        let greeting = engine.greeting.join("\n");
        assert!(greeting.contains(&format!("listening on  http://{api_address}")), "{greeting}");
        assert!(greeting.contains(&format!("admin on      http://{admin_address}")), "{greeting}");
        for stream in waiting {
            let answer = answer(stream);
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        engine.terminate().await;
    }
    let swapped = Activated::start(&api, &admin, "admin:http", &data_dir).await;
    assert!(answer(ask(admin_address, "/health/live")).starts_with("HTTP/1.1 200 "));
    swapped.terminate().await;
    let unknown = Activated::start(&api, &admin, "http:other", &data_dir).await;
    assert_eq!(unknown.greeting, [""; 0], "it does not start");
}

#[tokio::test]
async fn descriptors_that_are_no_sockets_are_refused() {
    // Without the process's number, any process may take them.
    let said = refused(&[("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "http")]).await;
    assert!(said.contains("the service manager passed a socket `http` that is no TCP socket"), "{said}");
}
