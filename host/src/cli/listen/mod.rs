//! `hookwright listen`: a live view of a tenant's deliveries, which forwards them to a local address.
//!
//! [`feed`] follows the engine, [`forward`] sends to the local address, [`session`] puts what happens into one sequence.
//! On a terminal, [`state`] makes rows of it, [`view`] lines of these, and [`screen`] shows them. Otherwise, [`plain`]
//! writes a line for each change.
//!
//! The command is a client of the API v3 like any other, and knows nothing of the engine's inside.

mod api;
mod arguments;
mod details;
mod feed;
mod forward;
mod http;
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
mod signature;
mod sse;
mod state;
mod terminal;
mod text;
mod update;
mod view;
mod wire;
mod words;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use api::Api;
pub(super) use arguments::Listen;
use forward::Forwarder;
use options::Options;
use plain::{Form, Start};
use session::Session;

/// Runs until it is interrupted, or until the engine refuses it.
pub(super) async fn run(
    arguments: Listen,
    environment: impl Fn(&str) -> Option<OsString>,
    out: &mut impl Write,
) -> Result<ExitCode> {
    let Options { url, key, tenant, ca_file, filter, forward, json } = Options::of(arguments, &environment)?;
    let tls = options::tls(ca_file.as_deref())?;
    let api = Api::new(Arc::clone(&tls), &url, &key, tenant.as_deref())?;
    // Receivers on the same machine are restarted all the time: no connection to one is used again.
    let forwarder = forward.map(|target| Forwarder::new(api.clone(), http::client(tls, 0), target));
    let start = Start { url: api.url(), forward: forwarder.as_ref().map(Forwarder::describe) };
    let session = Session::start(api.clone(), filter, forwarder).await?;
    let can_draw = io::stdin().is_terminal() && io::stdout().is_terminal();
    if can_draw && !json && environment("TERM").is_none_or(|terminal| terminal != "dumb") {
        screen::run(session, start).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let form = if json { Form::Json } else { Form::Words };
    form.start(&start, out)?;
    lines(session, form, out).await?;
    Ok(ExitCode::SUCCESS)
}

async fn lines(mut session: Session, form: Form, out: &mut impl Write) -> Result<()> {
    while let Some(update) = session.next().await? {
        form.write(&update, out)?;
    }
    Ok(())
}
