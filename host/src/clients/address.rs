//! Addresses of clients.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// The part of an IPv6 address that a client cannot choose: providers assign networks of 64 bits at least.
const NETWORK: u128 = !(u64::MAX as u128);

/// Addresses of reverse proxies. Each speaks for many clients, so the limits per address do not apply to it.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// Whether `address` is that of a proxy.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// One address for all that a client may have: an IPv6 address without its last 64 bits, unless it is loopback.
pub(super) fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_that_a_client_may_have_count_as_one() {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::1", "::1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(group(address.parse().unwrap()), expected.parse::<IpAddr>().unwrap(), "{address}");
        }
    }

    #[test]
    fn a_proxy_is_recognized_by_its_network() {
        let proxies = TrustedProxies(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        for (address, is_trusted) in [
            ("127.3.2.1", true),
            ("::ffff:127.0.0.1", true),
            ("::1", true),
            ("192.0.2.1", false),
            ("::2", false),
        ] {
            assert_eq!(proxies.contains(address.parse().unwrap()), is_trusted, "{address}");
        }
    }
}
