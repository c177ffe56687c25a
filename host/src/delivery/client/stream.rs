//! The bytes of a connection, with or without TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::interim::Interim;
use super::socket::{Intake, Socket};

/// What hyper reads and writes. An exchange that receives too much ends with an error.
pub(super) struct Stream {
    transport: Transport,
    intake: Intake,
    interim: Interim,
}

/// A connection with or without TLS.
pub(super) enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    pub(super) fn new(transport: Transport) -> (Self, Intake) {
        let socket = match &transport {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.get_ref().0,
        };
        let intake = socket.intake().clone();
        (Self { transport, intake: intake.clone(), interim: Interim::default() }, intake)
    }

    /// Checks the next bytes of the exchange.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.intake.has_response_bytes() {
            self.intake.note_response_bytes();
            self.interim = Interim::default();
        }
        self.interim.take(bytes).map_err(io::Error::other)
    }
}

/// Calls a method of either transport.
macro_rules! forward {
    ($transport:expr, $method:ident($($argument:expr),*)) => {
        match &mut $transport {
            Transport::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Transport::Tls(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (this, before) = (self.get_mut(), buf.filled().len());
        let polled = forward!(this.transport, poll_read(cx, buf));
        if buf.filled().len() > before {
            this.take(&buf.filled()[before..])?;
        }
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        forward!(self.get_mut().transport, poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self.get_mut().transport, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self.get_mut().transport, poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self.get_mut().transport, poll_write_vectored(cx, bufs))
    }

    /// A request's head and body go out in one call.
    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
