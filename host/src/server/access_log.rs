//! The access log: a line for each request, when its response has been handed over or its client is gone.
//!
//! Each request gets an id: its client's own, or a new one. The response has it, and the audit log.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use axum::http::{HeaderName, HeaderValue, Method};
use hyper::{Request, Response};
use tracing::field::display;

use crate::api::request_source::{REQUEST_ID, request_id};
use crate::clients::Client;
use crate::clock;
use crate::domain::TenantId;
use crate::metrics::http_server::DISCONNECTED;
use crate::random::{Random as _, SystemRandom};
use crate::telemetry::ACCESS;

/// The other name of the header with the id of a request.
const OTHER_REQUEST_ID: &str = "request-id";
/// Probes and scrapes, which come all the time.
const UNLOGGED: [&str; 5] = ["/livez", "/readyz", "/metrics", "/health", "/health/live"];
/// The longest path in a line, in bytes.
const MAX_PATH: usize = 256;
/// The longest method, which clients may make up.
const MAX_METHOD: usize = 32;

/// Whether requests are logged. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct AccessLog(Arc<AtomicBool>);

impl AccessLog {
    /// Logs requests that arrive from now on, or not.
    pub fn set(&self, is_on: bool) {
        self.0.store(is_on, Relaxed);
    }

    /// The entry of a request that has just arrived. Gives the request an id.
    pub(super) fn entry<B>(&self, request: &mut Request<B>, client: &Arc<Client>) -> Option<Box<Entry>> {
        if !self.0.load(Relaxed) || UNLOGGED.contains(&request.uri().path()) {
            return None;
        }
        let headers = request.headers_mut();
        let (id, name) = match (request_id(headers, REQUEST_ID), request_id(headers, OTHER_REQUEST_ID)) {
            (Some(id), _) => (id.to_owned(), REQUEST_ID),
            (None, Some(id)) => (id.to_owned(), OTHER_REQUEST_ID),
            (None, None) => (new_id(), REQUEST_ID),
        };
        let address = client.origin(headers);
        if let Ok(value) = HeaderValue::from_str(&id) {
            headers.insert(HeaderName::from_static(REQUEST_ID), value);
        }
        let path = request.uri().path();
        Some(Box::new(Entry {
            method: request.method().clone(),
            path: path[..path.floor_char_boundary(MAX_PATH)].to_owned(),
            id,
            id_header: HeaderName::from_static(name),
            began: clock::monotonic(),
            address,
            client: Arc::clone(client),
            tenant: None,
            status: None,
            bytes: 0,
        }))
    }
}

/// A request. When this is dropped, its line is logged.
#[derive(Debug)]
pub(super) struct Entry {
    method: Method,
    /// Without the query, which may have keys and passwords.
    path: String,
    id: String,
    id_header: HeaderName,
    began: Instant,
    address: IpAddr,
    client: Arc<Client>,
    tenant: Option<TenantId>,
    status: Option<u16>,
    bytes: u64,
}

impl Entry {
    /// This is what the client gets.
    pub(super) fn answered<B>(&mut self, response: &mut Response<B>) {
        self.status = Some(response.status().as_u16());
        self.tenant = self.client.tenant();
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            response.headers_mut().insert(self.id_header.clone(), id);
        }
    }

    /// So much of the body was handed over.
    pub(super) fn add_bytes(&mut self, bytes: usize) {
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Self { method, path, id, address, status, bytes, .. } = &*self;
        let tenant = self.tenant.or_else(|| self.client.tenant().filter(|_| status.is_none())).map(display);
        let duration_ms = clock::elapsed(self.began).as_secs_f64() * 1_000.0;
        // A client that is gone has got no status.
        let error_type = status.is_none().then_some(DISCONNECTED);
        let method = &method.as_str()[..method.as_str().floor_char_boundary(MAX_METHOD)];
        tracing::info!(target: ACCESS, method, path, status, error_type, duration_ms, bytes, tenant, request_id = id, client = %address, "request");
    }
}

fn new_id() -> String {
    let mut bytes = [0; 16];
    SystemRandom.fill(&mut bytes);
    hex::encode(bytes)
}
