//! TLS on the way in.

use std::net::SocketAddr;

use hookwright_tests::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::certificates::{Files, Issued, get};
use super::refused;
use crate::BINARY;

pub(super) fn address(url: &str) -> SocketAddr {
    url.strip_prefix("https://").expect("it speaks TLS").parse().unwrap()
}

/// What makes both listeners use these files.
pub(super) fn settings(files: &Files) -> [(&'static str, String); 4] {
    let [chain, key] = [files.chain(), files.key()].map(|path| path.to_str().unwrap().to_owned());
    [
        ("HOOKWRIGHT_TLS_CERT_FILE", chain.clone()),
        ("HOOKWRIGHT_TLS_KEY_FILE", key.clone()),
        ("HOOKWRIGHT_ADMIN_TLS_CERT_FILE", chain),
        ("HOOKWRIGHT_ADMIN_TLS_KEY_FILE", key),
    ]
}

async fn serving(files: &Files) -> Server {
    let settings = settings(files);
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Server::start_with(BINARY, &settings).await
}

#[tokio::test]
async fn both_listeners_serve_tls_1_2_and_1_3() {
    let issued = Issued::new();
    let files = Files::with(&issued);
    let server = serving(&files).await;
    for (url, path) in [(server.base(), "/health"), (server.admin().unwrap(), "/livez")] {
        for version in [&TLS12, &TLS13] {
            let mut stream = issued.connect_by(address(url), &[version]).await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.alpn_protocol(), Some(b"http/1.1".as_slice()));
            assert_eq!(session.protocol_version(), Some(version.version));
            assert_eq!(get(&mut stream, path).await.unwrap(), "200");
            assert_eq!(get(&mut stream, path).await.unwrap(), "200", "the connection is used again");
        }
        let other = Issued::new().connect(address(url)).await;
        assert!(other.is_err(), "the certificate is the one in the file");
    }
}

#[tokio::test]
async fn a_request_without_tls_is_told_so() {
    let files = Files::with(&Issued::new());
    let server = serving(&files).await;
    let mut stream = TcpStream::connect(address(server.base())).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut response = String::new();
    // The engine closes without reading the request, which may reset the connection.
    let _ = stream.read_to_string(&mut response).await;
    assert!(response.starts_with("HTTP/1.1 400 ") && response.ends_with("over TLS\n"), "{response}");
}

#[tokio::test]
async fn wrong_files_end_the_start_with_what_is_wrong() {
    let (issued, other) = (Issued::new(), Issued::new());
    let files = Files::with(&issued);
    let write = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (chain, key) = (write("a.pem", &issued.certificate), write("a.key", &issued.key));
    let (other_key, text) = (write("b.key", &other.key), write("text", "no PEM"));
    for (chain, key, expected) in [
        (chain.as_str(), "", "setting `tls_cert_file` needs `tls_key_file`"),
        ("", key.as_str(), "setting `tls_key_file` needs `tls_cert_file`"),
        ("/nowhere/a.pem", &key, "cannot read /nowhere/a.pem: No such file"),
        (&chain, "/nowhere/a.key", "cannot read /nowhere/a.key: No such file"),
        (&text, &key, "text: expected certificates in PEM"),
        (&chain, &text, "text: expected an unencrypted private key in PEM"),
        (&chain, &other_key, "b.key is not that of the first certificate in "),
    ] {
        let settings = [("HOOKWRIGHT_TLS_CERT_FILE", chain), ("HOOKWRIGHT_TLS_KEY_FILE", key)];
        let said = refused(&settings).await;
        assert!(said.contains(expected), "{said}\nshould contain {expected}");
        assert!(!said.contains("PRIVATE"), "{said}");
    }
}

/// Connections that never begin or finish a handshake are idle: they end when another one needs their place.
#[tokio::test]
async fn unfinished_handshakes_hold_no_places() {
    let issued = Issued::new();
    let files = Files::with(&issued);
    let server = serving(&files).await;
    // It has few places.
    let address = address(server.admin().unwrap());
    let mut held = Vec::new();
    for n in 0..80 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The header of a record whose content never comes.
        let _ = stream.write_all([&b""[..], &[22, 3, 1, 0, 200]][n % 2]).await;
        held.push(stream);
    }
    let mut stream = loop {
        if let Ok(stream) = issued.connect(address).await {
            break stream;
        }
    };
    assert_eq!(get(&mut stream, "/livez").await.unwrap(), "200");
}
