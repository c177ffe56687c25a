//! A minimal hyper relay: forwards a POST and responds after the receiver has responded. It uses hyper-util's pooled
//! client, without storage or checks: a baseline for two hops.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// Argument that makes this program a relay to the address that follows.
pub const ARGUMENT: &str = "relay";

type Forward = Client<HttpConnector, Full<Bytes>>;

/// Starts the relay in its own process.
pub async fn start(to: SocketAddr) -> Result<(Child, SocketAddr)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([ARGUMENT, &to.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
    let address = lines.next_line().await?.context("the relay says where it listens")?.parse()?;
    Ok((child, address))
}

/// Runs as a relay to `to` until killed.
pub async fn run(to: &str) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Forward = Client::builder(TokioExecutor::new()).build(connector);
    let uri: http::Uri = format!("http://{to}/").parse()?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, uri) = (client.clone(), uri.clone());
        let service = service_fn(move |request| forward(request, client.clone(), uri.clone()));
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn forward(
    request: http::Request<Incoming>,
    client: Forward,
    uri: http::Uri,
) -> Result<http::Response<Empty<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let mut forwarded = http::Request::new(Full::new(body));
    *forwarded.method_mut() = http::Method::POST;
    *forwarded.uri_mut() = uri;
    let response = client.request(forwarded).await?;
    let status = response.status();
    response.into_body().collect().await?;
    let mut response = http::Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}
