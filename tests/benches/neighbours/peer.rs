//! A raw client with its own address.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Time before a client retries.
pub const PAUSE: Duration = Duration::from_millis(50);

/// Source and destination address.
#[derive(Clone, Copy)]
pub struct Peer {
    pub from: Ipv4Addr,
    to: SocketAddr,
}

impl Peer {
    pub fn new(from: [u8; 4], to: SocketAddr) -> Self {
        Self { from: from.into(), to }
    }

    /// Connects.
    pub async fn connect(self) -> std::io::Result<TcpStream> {
        self.connect_with(None).await
    }

    /// Connects with a receive buffer of about `receive` bytes.
    pub async fn connect_with(self, receive: Option<u32>) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(receive) = receive {
            socket.set_recv_buffer_size(receive)?;
        }
        socket.bind((self.from, 0).into())?;
        let stream = socket.connect(self.to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Sends `bytes` on a new connection and keeps it open, without reading, until the engine closes it.
    pub async fn hold(self, bytes: &[u8]) {
        if let Ok(mut stream) = self.connect().await
            && stream.write_all(bytes).await.is_ok()
        {
            let mut one = [0];
            // Ignore responses until the connection ends.
            while stream.read(&mut one).await.is_ok_and(|read| read > 0) {}
        }
    }

    /// Sends `bytes` on a new connection and closes it.
    pub async fn send_and_hang_up(self, bytes: &[u8]) {
        if let Ok(mut stream) = self.connect().await {
            let _ = stream.write_all(bytes).await;
        }
    }

    /// Sends `bytes` on a new connection and reads until the engine responds or closes it.
    pub async fn exchange(self, bytes: &[u8]) {
        if let Ok(mut stream) = self.connect().await
            && stream.write_all(bytes).await.is_ok()
        {
            let _ = stream.read(&mut [0; 1_024]).await;
        }
    }

    /// Sends `request` and reads the response at `chunk` bytes per `pause`.
    pub async fn read_slowly(self, request: &[u8], chunk: usize, pause: Duration) {
        const RECEIVE_BUFFER: u32 = 4_096;
        let Ok(mut stream) = self.connect_with(Some(RECEIVE_BUFFER)).await else { return };
        if stream.write_all(request).await.is_err() {
            return;
        }
        let mut buffer = vec![0; chunk];
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends the same request repeatedly on a connection.
    pub async fn repeat(self, request: http::Request<Bytes>) {
        loop {
            if self.repeat_on_one(usize::MAX, &request).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Sends the same request `count` times on one connection, or less often if the engine closes it.
    pub async fn times(self, count: usize, request: http::Request<Bytes>) {
        let _ = self.repeat_on_one(count, &request).await;
    }

    async fn repeat_on_one(self, count: usize, request: &http::Request<Bytes>) -> Result<()> {
        let stream = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let _connection = AbortOnDrop(tokio::spawn(connection));
        for _ in 0..count {
            let status = send(&mut sender, request).await?;
            if matches!(status, 429 | 503) {
                // Do not retry a refused request in a tight loop.
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }
}

async fn send(sender: &mut SendRequest<Full<Bytes>>, request: &http::Request<Bytes>) -> Result<u16> {
    sender.ready().await?;
    let response = sender.send_request(request.clone().map(Full::new)).await?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    while body.frame().await.transpose()?.is_some() {}
    Ok(status)
}

/// Ends its task when it is dropped.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Returns the head of a request with this key. `length` is the length of the body.
pub fn head(method: &str, path: &str, key: &str, content_type: &str, length: usize) -> String {
    format!(
        "{method} /api/v3{path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n\
         content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// Returns a whole request as bytes.
pub fn whole(method: &str, path: &str, key: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = head(method, path, key, content_type, body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Returns a request for [`Peer::repeat`].
///
/// # Errors
/// If the request is invalid.
pub fn request(
    method: &str,
    path: &str,
    key: &str,
    content_type: &str,
    body: impl Into<Bytes>,
) -> Result<http::Request<Bytes>> {
    let request = http::Request::builder()
        .method(method)
        .uri(format!("/api/v3{path}"))
        .header("host", "127.0.0.1")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", content_type);
    Ok(request.body(body.into())?)
}
