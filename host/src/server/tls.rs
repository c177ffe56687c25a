//! TLS on the way in: the handshake, within a time limit.
//!
//! A connection in its handshake has its place among those of its client, and is idle: it ends when another one needs the
//! place, so that slow handshakes hold none.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::certificate::Certificate;
use super::transport::Transport;
use crate::clients::Admitted;

/// How long a client may take for the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The type of the record that begins a handshake (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// How many parts of a request without TLS are read.
const MAX_UNREAD_PARTS: usize = 64;
/// The response to a request without TLS.
const NO_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\
    Content-Length: 50\r\n\r\nThis port speaks HTTPS; send the request over TLS\n";

/// Completes the handshake; `None` if the connection must end.
pub(super) async fn secured(
    stream: TcpStream,
    certificate: &Arc<Certificate>,
    admitted: &Admitted,
) -> Option<Transport> {
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(stream, certificate.acceptor()));
    tokio::select! {
        done = handshake => match done {
            Ok(secured) => secured,
            Err(_) => {
                tracing::debug!("a client did not complete the TLS handshake in time");
                None
            }
        },
        () = admitted.told_to_end() => None,
    }
}

/// Answers a request without TLS. Closing with unread bytes would reset the connection before the client has the answer.
async fn refuse(mut stream: TcpStream) {
    if stream.write_all(NO_TLS).await.is_ok() && stream.shutdown().await.is_ok() {
        let mut unread = [0; 1024];
        for _ in 0..MAX_UNREAD_PARTS {
            if !matches!(stream.read(&mut unread).await, Ok(1..)) {
                return;
            }
        }
    }
}

async fn handshake(stream: TcpStream, acceptor: TlsAcceptor) -> Option<Transport> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1..) if first[0] == HANDSHAKE_RECORD => {}
        Ok(1..) => {
            refuse(stream).await;
            return None;
        }
        Ok(0) | Err(_) => return None,
    }
    match acceptor.accept(stream).await {
        Ok(stream) => Some(Transport::Tls(Box::new(stream))),
        Err(error) => {
            // Scanners and clients that do not trust the certificate cause these; the engine has nothing to mend.
            tracing::debug!(error = &error as &dyn std::error::Error, "a TLS handshake failed");
            None
        }
    }
}
