//! What limits the clients of a listener.

use super::address::TrustedProxies;

/// How many connections there may be, and how much memory their requests and responses may take.
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// Connections from all addresses together.
    pub connections: usize,
    /// Besides those, while as many are ending to make room.
    pub spare_connections: usize,
    /// From one address, or one IPv6 network of 64 bits, unless it is a trusted proxy.
    pub connections_per_address: usize,
    /// Addresses that speak for many clients.
    pub trusted_proxies: TrustedProxies,
    /// Bytes of requests' bodies that are in memory at the same time.
    pub request_bytes: usize,
    /// Bytes of responses that are in memory at the same time, until they are sent.
    pub answer_bytes: usize,
    /// Whose keys are accepted.
    pub callers: Callers,
    /// Whether the listener speaks TLS.
    pub is_tls: bool,
}

/// Whose keys a listener accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Those of tenants and of operators.
    All,
    /// Only those of tenants, and other credentials of theirs.
    Tenants,
    /// Only those of operators.
    Operators,
}

impl ClientLimits {
    /// An address that has fewer connections than this may have one of the last quarter.
    pub(super) fn few_connections(&self) -> usize {
        self.connections.div_ceil(32)
    }
}
