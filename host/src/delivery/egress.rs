//! Decides which addresses requests may go to.
//!
//! Tenants choose URLs, and URLs can name the operator's own network. Only globally reachable addresses are allowed, and
//! those that the operator lists. The check is made after the name was resolved, on the very address that is connected to,
//! so that a name that resolves differently the second time gains nothing. The engine itself is never allowed: its API would
//! treat a hook's request as one from this machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use crate::domain::{EgressRule, TenantId};

/// The current name of a tenant.
pub type TenantNames = dyn Fn(TenantId) -> Option<String> + Send + Sync;

/// The addresses that may be connected to.
#[derive(Clone)]
pub struct EgressPolicy {
    rules: Vec<EgressRule>,
    listeners: Vec<SocketAddr>,
    names: Arc<TenantNames>,
}

impl EgressPolicy {
    /// Allows globally reachable addresses and what `rules` cover, but never the engine's own `listeners`. `names` is for
    /// rules that name a tenant.
    #[must_use]
    pub fn new(rules: Vec<EgressRule>, listeners: Vec<SocketAddr>, names: Arc<TenantNames>) -> Self {
        Self { rules, listeners, names }
    }

    /// Whether a hook of `tenant` may connect to `address`, to which the `host` of its URL resolves.
    #[must_use]
    pub fn permits(&self, tenant: TenantId, host: &str, address: SocketAddr) -> bool {
        if self.listeners.iter().any(|listener| reaches(address, *listener)) {
            return false;
        }
        let is_for = |rule: &EgressRule| rule.tenant().is_none_or(|named| self.is_named(tenant, named));
        self.allows(host, address, is_for)
    }

    /// Whether hooks of all tenants may connect to `address`, to which one may.
    #[must_use]
    pub fn is_for_all_tenants(&self, host: &str, address: SocketAddr) -> bool {
        self.allows(host, address, |rule| rule.tenant().is_none())
    }

    fn allows(&self, host: &str, address: SocketAddr, is_for: impl Fn(&EgressRule) -> bool) -> bool {
        is_global(address.ip().to_canonical())
            || self.rules.iter().any(|rule| rule.covers(host, address) && is_for(rule))
    }

    fn is_named(&self, tenant: TenantId, named: &str) -> bool {
        match named.parse::<TenantId>() {
            Ok(id) => id == tenant,
            Err(_) => (self.names)(tenant).is_some_and(|name| name == named),
        }
    }
}

/// Whether a connection to `address` reaches `listener`.
fn reaches(address: SocketAddr, listener: SocketAddr) -> bool {
    let (to, at) = (address.ip().to_canonical(), listener.ip().to_canonical());
    // A connection to the unspecified address goes to loopback.
    let to_loopback = to.is_loopback() || to.is_unspecified();
    address.port() == listener.port()
        && (to == at
            || (to.is_unspecified() && at.is_loopback())
            || (at.is_unspecified() && (to_loopback || is_local(to))))
}

/// Whether it is one of this machine's addresses, which are the only ones that can be bound.
fn is_local(address: IpAddr) -> bool {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::AddrNotAvailable,
    }
}

/// Whether the address is globally reachable by the IANA special-purpose address registries (RFC 6890
/// and its successors). An address that contains an IPv4 address is judged by that one.
#[must_use]
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_global_v4(v4),
        IpAddr::V6(v6) => is_global_v6(v6),
    }
}

/// A public address by the registries, but the metadata service of every machine in Azure.
const AZURE_WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

fn is_global_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0 // this network, RFC 791
        || a == 127 // loopback, RFC 1122
        || address.is_private() // RFC 1918
        || (a == 100 && b & 0xc0 == 64) // shared address space, RFC 6598
        || address.is_link_local() // RFC 3927; cloud metadata lives at 169.254.169.254
        || address == AZURE_WIRE_SERVER
        || (a == 192 && b == 0 && c == 0) // protocol assignments, RFC 6890
        || address.is_documentation() // RFC 5737
        || (a == 192 && b == 88 && c == 99) // 6to4 relays, RFC 7526
        || (a == 198 && b & 0xfe == 18) // benchmarking, RFC 2544
        || a >= 224) // multicast, RFC 5771; reserved, RFC 1112; broadcast
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_global_v4(v4);
    }
    // NAT64, RFC 6052: the last four bytes are an IPv4 address.
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [.., a, b, c, d] = address.octets();
        return is_global_v4(Ipv4Addr::new(a, b, c, d));
    }
    // Only 2000::/3 is handed out for global use, RFC 4291, section 2.4; within it, these are not.
    let within_global = segments[0] & 0xe000 == 0x2000;
    let protocol_assignments = segments[0] == 0x2001 && segments[1] < 0x200; // RFC 2928, with Teredo and ORCHID
    let documentation = (segments[0] == 0x2001 && segments[1] == 0xdb8) || (segments[0] & 0xfff0 == 0x3ff0); // RFC 3849, RFC 9637
    let six_to_four = segments[0] == 0x2002; // RFC 3056
    within_global && !protocol_assignments && !documentation && !six_to_four
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_global_addresses_are_permitted() {
        let refused = "0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.169.254 168.63.129.16 \
            172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 \
            198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 \
            :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 100::1 \
            2001::1 2001:10::1 2001:db8::1 2002:7f00:1::1 3fff::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1";
        let permitted = "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 \
            192.0.1.1 192.167.0.1 198.17.0.1 198.20.0.1 223.255.255.255 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 \
            2001:4860:4860::8888 2606:4700::1111 2a00:1450::1";
        let policy = policy("", &[]);
        let permits = |text: &str| {
            let address = text.parse().unwrap();
            policy.permits(TenantId(1), "a.example", SocketAddr::new(address, 443))
        };
        for text in refused.split_whitespace() {
            assert!(!permits(text), "{text}");
        }
        for text in permitted.split_whitespace() {
            assert!(permits(text), "{text}");
        }
    }

    /// Tenant 1 is called `one`, and so on.
    fn policy(rules: &str, listeners: &[&str]) -> EgressPolicy {
        let rules = rules.split_whitespace().map(|rule| EgressRule::parse(rule).unwrap()).collect();
        let listeners = listeners.iter().map(|listener| listener.parse().unwrap()).collect();
        let name = |tenant: TenantId| ["zero", "one", "two"].get(usize::try_from(tenant.0).ok()?).copied();
        EgressPolicy::new(rules, listeners, Arc::new(move |tenant| name(tenant).map(str::to_owned)))
    }

    #[test]
    fn the_operators_rules_allow_exactly_what_they_cover() {
        let two = TenantId(2);
        let policy = policy(
            &format!("127.0.0.0/8 fd00::/16:443 one=10.0.0.0/8 {two}=172.16.0.0/12 db.internal:5432"),
            &[],
        );
        for (tenant, host, address, permitted) in [
            (1, "a.example", "127.1.2.3:80", true),
            (1, "a.example", "[::ffff:127.0.0.1]:80", true),
            (1, "a.example", "[fd00::7]:443", true),
            (1, "a.example", "[fd00::7]:80", false),
            (1, "a.example", "10.0.0.1:80", true),
            (2, "a.example", "10.0.0.1:80", false),
            (2, "a.example", "172.16.0.1:80", true),
            (1, "a.example", "172.16.0.1:80", false),
            (3, "a.example", "10.0.0.1:80", false),
            (3, "db.internal", "10.0.0.1:5432", true),
            (3, "db.internal", "10.0.0.1:5433", false),
            (3, "a.example", "10.0.0.1:5432", false),
            (1, "a.example", "[::1]:80", false),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(
                policy.permits(TenantId(tenant), host, address),
                permitted,
                "{tenant} {host} {address}"
            );
        }
    }

    #[test]
    fn the_engine_itself_is_out_of_reach_whatever_is_allowed() {
        let everything = "0.0.0.0/0 ::/0 localhost";
        for (listener, address, permitted) in [
            ("127.0.0.1:8080", "127.0.0.1:8080", false),
            ("127.0.0.1:8080", "[::ffff:127.0.0.1]:8080", false),
            ("127.0.0.1:8080", "0.0.0.0:8080", false),
            ("127.0.0.1:8080", "127.0.0.1:8081", true),
            ("127.0.0.1:8080", "127.0.0.2:8080", true),
            ("0.0.0.0:8080", "127.0.0.2:8080", false),
            ("0.0.0.0:8080", "[::1]:8080", false),
            ("[::]:8080", "127.0.0.1:8080", false),
            ("[::]:8080", "[::]:8080", false),
            // An address for documentation is no machine's (RFC 5737).
            ("0.0.0.0:8080", "192.0.2.1:8080", true),
            ("8.8.8.8:8080", "8.8.8.8:8080", false),
        ] {
            let policy = policy(everything, &[listener]);
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(policy.permits(TenantId(1), "localhost", address), permitted, "{listener} {address}");
        }
    }
}
