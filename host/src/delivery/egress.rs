//! Where requests may go. Pure: addresses in, verdict out.
//!
//! Tenants choose URLs, and URLs can name the operator's own network. Only addresses that are globally
//! reachable are allowed, plus what the operator lists. The check is made on the address that is then
//! connected to, after the name was resolved, so that a name which answers differently the second
//! time gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Which addresses may be connected to.
#[derive(Debug, Clone, Default)]
pub struct EgressPolicy {
    allowed: Vec<IpNet>,
}

impl EgressPolicy {
    /// Globally reachable addresses, and those in `allowed`.
    #[must_use]
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether `address` may be connected to.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        is_global(canonical)
            || self.allowed.iter().any(|net| net.contains(&canonical) || net.contains(&address))
    }
}

/// Whether the address is globally reachable by the IANA special-purpose address registries (RFC 6890
/// and its successors). Addresses that carry an IPv4 address within are judged by that.
#[must_use]
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_global_v4(v4),
        IpAddr::V6(v6) => is_global_v6(v6),
    }
}

/// A public address by the registries, and yet the metadata service of every machine in Azure.
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
        let policy = EgressPolicy::default();
        for text in refused.split_whitespace() {
            assert!(!policy.permits(text.parse().unwrap()), "{text}");
        }
        for text in permitted.split_whitespace() {
            assert!(policy.permits(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn the_operator_allows_more_and_nothing_beside_it() {
        let policy = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap(), "fd00::/16".parse().unwrap()]);
        for (text, permitted) in [
            ("127.1.2.3", true),
            ("::ffff:127.0.0.1", true),
            ("fd00::7", true),
            ("10.0.0.1", false),
            ("::1", false),
        ] {
            assert_eq!(policy.permits(text.parse().unwrap()), permitted, "{text}");
        }
    }
}
