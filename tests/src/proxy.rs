//! A proxy in front of a PostgreSQL server, for tests of what a node does when the network fails.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// What the proxy does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// It passes everything on.
    Up,
    /// It passes nothing on, and closes nothing.
    Silent,
    /// It closes connections, and accepts no new ones.
    Down,
}

/// The state of the network, and how often connections were abandoned.
#[derive(Debug, Clone, Copy)]
struct State {
    network: Network,
    /// Connections from before the last change of this number stay silent for ever.
    generation: u32,
}

/// The proxy. It ends with this value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of the server whose socket is in the directory `server`.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn start(server: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let state = watch::Sender::new(State { network: Network::Up, generation: 0 });
        let (states, server) = (state.clone(), server.join(".s.PGSQL.5432"));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server.clone(), states.subscribe()));
            }
        });
        Self { address, state, accepting }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, the network is like this.
    pub fn set(&self, network: Network) {
        self.state.send_modify(|state| state.network = network);
    }

    /// The connections that exist stay silent for ever, as if the server's machine were gone; new ones work.
    pub fn abandon(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(client: TcpStream, server: PathBuf, mut states: watch::Receiver<State>) {
    let generation = states.borrow().generation;
    if !is_up(&mut states, generation).await {
        return;
    }
    let Ok(server) = UnixStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut ended = states.clone();
    tokio::select! {
        () = pass_on(&mut from_client, &mut to_server, states.clone(), generation) => {}
        () = pass_on(&mut from_server, &mut to_client, states, generation) => {}
        _ = ended.wait_for(|state| state.network == Network::Down) => {}
    }
}

async fn pass_on(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    mut states: watch::Receiver<State>,
    generation: u32,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        if !is_up(&mut states, generation).await || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Waits while the network is silent; returns whether it is up.
async fn is_up(states: &mut watch::Receiver<State>, generation: u32) -> bool {
    let silent = |state: &State| state.network == Network::Silent || state.generation != generation;
    let state = states.wait_for(|state| state.network == Network::Down || !silent(state)).await;
    state.is_ok_and(|state| state.network == Network::Up)
}
