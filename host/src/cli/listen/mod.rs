//! `hookwright listen`: a live view of a tenant's deliveries, which forwards them to a local address.
//!
//! [`feed`] follows the engine, [`forward`] sends to the local address, [`session`] puts what happens into one sequence.
//! On a terminal, [`state`] makes rows of it, [`view`] lines of these, and [`screen`] shows them. Otherwise, [`plain`]
//! writes a line for each change.
//!
//! The command is a client of the API v3 like any other. From the engine's modules it takes words, such as states and ids,
//! the format of signatures and the settings of TLS, but nothing that runs there.

mod arguments;
mod details;
mod feed;
mod forward;
mod line;
mod options;
mod plain;
mod queue;
mod rows;
#[cfg(test)]
mod samples;
mod screen;
mod seen;
mod session;
mod signals;
mod signature;
mod sse;
mod state;
mod stream;
mod terminal;
mod update;
mod view;
mod wire;
mod words;
mod writer;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anstream::AutoStream;
use anyhow::Result;

pub(super) use arguments::Listen;
use forward::Forwarder;
use options::Options;
use plain::{Form, Start};
use session::Session;
use signals::EndSignals;
use writer::Writer;

use super::engine_api::EngineApi;
use super::http_client;
use super::style::{MUTED, PLAIN};

/// Runs until it is interrupted, or until the engine refuses it.
pub(super) async fn run(
    arguments: Listen,
    environment: impl Fn(&str) -> Option<OsString>,
    out: AutoStream<io::Stdout>,
) -> Result<ExitCode> {
    let options = Options::of(arguments, &environment)?;
    if options.is_key_in_clear() {
        let warning = format!("the key is sent to {} without encryption: use https", options.url);
        writeln!(anstream::stderr(), "{MUTED}warning:{PLAIN} {warning}")?;
    }
    let Options { url, key, tenant, ca_file, filter, forward, json } = options;
    let tls = options::tls(ca_file.as_deref())?;
    let api = EngineApi::new(Some(Arc::clone(&tls)), &url, &key)?;
    let api = if let Some(tenant) = tenant { api.for_tenant(&tenant)? } else { api };
    // Receivers on the same machine are restarted all the time: no connection to one is used again.
    let forwarder =
        forward.map(|target| Forwarder::new(api.clone(), http_client::client(Some(tls), 0), target));
    let start = Start { url: api.url(), forward: forwarder.as_ref().map(Forwarder::describe) };
    let mut signals = EndSignals::listen()?;
    let session = tokio::select! {
        session = Session::start(api.clone(), filter, forwarder) => session?,
        () = signals.any() => return Ok(ExitCode::SUCCESS),
    };
    let can_draw = io::stdin().is_terminal() && io::stdout().is_terminal();
    if can_draw && !json && environment("TERM").is_none_or(|terminal| terminal != "dumb") {
        tokio::select! {
            ended = screen::run(session, start) => ended?,
            () = signals.any() => {}
        }
        return Ok(ExitCode::SUCCESS);
    }
    let form = if json { Form::Json } else { Form::Words };
    let mut writer = Writer::start(out);
    let ended = tokio::select! {
        ended = lines(session, form, &start, &mut writer) => ended,
        () = signals.any() => Ok(()),
    };
    writer.end().await?;
    ended.map(|()| ExitCode::SUCCESS)
}

/// Writes lines until writing fails, or the engine refuses to tell more.
async fn lines(mut session: Session, form: Form, start: &Start<'_>, writer: &mut Writer) -> Result<()> {
    let mut lines = Vec::new();
    form.start(start, &mut lines)?;
    while writer.write(std::mem::take(&mut lines)).await {
        form.write(&session.next().await?, &mut lines)?;
    }
    Ok(())
}
