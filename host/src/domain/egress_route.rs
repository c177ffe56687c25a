//! How requests leave the operator's network: through a proxy, and from which addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::{Invalid, SecretText};

/// An HTTP proxy that opens tunnels with `CONNECT` (RFC 9110, section 9.3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressProxy {
    /// Name or address, without the brackets of an IPv6 address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Value of the `Proxy-Authorization` header.
    pub authorization: Option<SecretText>,
}

impl EgressProxy {
    /// Parses `http://[user[:password]@]host[:port]`. The default port is 80.
    ///
    /// # Errors
    /// If the text is no such URL. The message does not contain the text, which may have a password.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let rule = || {
            Invalid::new(
                "the URL of an HTTP proxy, such as http://proxy.internal:3128 or http://user:password@proxy.internal:3128",
            )
        };
        let url = Url::parse(text).map_err(|_| rule())?;
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if url.scheme() != "http" || !is_bare || host.is_empty() {
            return Err(rule());
        }
        let authorization = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let mut credentials = percent_decoded(user);
                credentials.push(b':');
                credentials.extend(percent_decoded(password.unwrap_or_default()));
                Some(SecretText::new(format!("Basic {}", STANDARD.encode(credentials))))
            }
        };
        Ok(Self { host: host.to_owned(), port: url.port_or_known_default().unwrap_or(80), authorization })
    }
}

/// The bytes of a part of a URL. A `%` that begins no code stands for itself.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        let byte = code.filter(|_| *first == b'%').and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    bytes
}

/// The addresses of this machine that connections come from: at most one of each family. Without any, the system chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceAddresses {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

impl SourceAddresses {
    /// The addresses in `list`.
    ///
    /// # Errors
    /// If there are two of one family, or one is not the address of an interface.
    pub fn new(list: &[IpAddr]) -> Result<Self, Invalid> {
        let rule = || {
            Invalid::new(
                "at most one IPv4 and one IPv6 address of this machine, such as 192.0.2.1,2001:db8::1",
            )
        };
        let mut all = Self::default();
        for address in list {
            let twice = match address {
                IpAddr::V4(v4) => all.v4.replace(*v4).is_some(),
                IpAddr::V6(v6) => all.v6.replace(*v6).is_some(),
            };
            if twice || address.is_unspecified() || address.is_multicast() {
                return Err(rule());
            }
        }
        Ok(all)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }

    /// The one from which `target` can be reached.
    #[must_use]
    pub fn towards(&self, target: IpAddr) -> Option<IpAddr> {
        match target {
            IpAddr::V4(_) => self.v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.v6.map(IpAddr::V6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_url_with_or_without_credentials() {
        for (text, host, port, authorization) in [
            ("http://proxy.internal:3128", "proxy.internal", 3128, None),
            ("http://proxy.internal/", "proxy.internal", 80, None),
            ("http://[2001:db8::1]:8080", "2001:db8::1", 8080, None),
            ("http://user@10.0.0.1:1", "10.0.0.1", 1, Some("user:")),
            ("http://a%40b:p%3Aw%25%zz@p:2", "p", 2, Some("a@b:p:w%%zz")),
        ] {
            let proxy = EgressProxy::parse(text).unwrap();
            assert_eq!((proxy.host.as_str(), proxy.port), (host, port), "{text}");
            let expected = authorization.map(|plain| format!("Basic {}", STANDARD.encode(plain)));
            assert_eq!(proxy.authorization.as_ref().map(SecretText::reveal), expected.as_deref(), "{text}");
        }
        for text in ["", "proxy:3128", "https://proxy:3128", "socks5://proxy", "http://p/path", "http://p/?q"]
        {
            assert!(EgressProxy::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_family_has_at_most_one_source_address() {
        let parse = |list: &[&str]| {
            SourceAddresses::new(&list.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
        };
        let both = parse(&["192.0.2.1", "2001:db8::1"]).unwrap();
        assert_eq!(both.towards("203.0.113.1".parse().unwrap()), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(both.towards("::1".parse().unwrap()), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(parse(&["192.0.2.1"]).unwrap().towards("::1".parse().unwrap()), None);
        for bad in [&["192.0.2.1", "192.0.2.2"][..], &["0.0.0.0"], &["::"], &["224.0.0.1"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
