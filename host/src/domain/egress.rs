//! Rules by which the operator allows hooks to reach addresses that are not public.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::{Invalid, Tenant, TenantId};

/// One rule: `[TENANT=]TARGET[:PORT]`, such as `10.0.0.0/8`, `10.1.2.3:8443`, `[fd00::/8]:8000-8099`,
/// `hooks.internal.example:443`, `*.internal.example` or `shop.example=10.0.0.0/8`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressRule {
    /// Name or id of the tenant that the rule is limited to; `None`: all tenants.
    tenant: Option<String>,
    target: Target,
    /// `None`: any port.
    ports: Option<RangeInclusive<u16>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Network(IpNet),
    /// The host of a hook's URL, in lower case.
    Host(String),
    /// Every subdomain of this name.
    Under(String),
}

impl EgressRule {
    /// Parses a rule.
    ///
    /// # Errors
    /// If the text is not a rule. The message says how rules are written.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        // A tenant's name may contain `=`; the rest may not.
        let (tenant, rest) = match text.rsplit_once('=') {
            Some((tenant, rest)) => (Some(tenant), rest),
            None => (None, text),
        };
        if let Some(tenant) = tenant.filter(|tenant| tenant.parse::<TenantId>().is_err()) {
            Tenant::check_name(tenant).map_err(|rule| Invalid::new(format!("`{text}`: {rule}")))?;
        }
        let (target, ports) = split_port(rest);
        Ok(Self {
            tenant: tenant.map(str::to_owned),
            target: read_target(target, text)?,
            ports: ports.map(|ports| read_ports(ports, text)).transpose()?,
        })
    }

    /// Name or id of the tenant that the rule is limited to; `None`: all tenants.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// Whether the rule allows a connection to `address`, to which the host of a hook's URL resolved. Does not check
    /// the tenant.
    #[must_use]
    pub fn covers(&self, host: &str, address: SocketAddr) -> bool {
        self.ports.as_ref().is_none_or(|ports| ports.contains(&address.port()))
            && match &self.target {
                Target::Network(network) => {
                    network.contains(&address.ip()) || network.contains(&address.ip().to_canonical())
                }
                Target::Host(name) => name == host.trim_end_matches('.'),
                Target::Under(name) => {
                    let above = host.trim_end_matches('.').strip_suffix(name.as_str());
                    above.is_some_and(|above| above.len() > 1 && above.ends_with('.'))
                }
            }
    }
}

impl fmt::Display for EgressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tenant) = &self.tenant {
            write!(f, "{tenant}=")?;
        }
        match (&self.target, &self.ports) {
            (Target::Network(network @ IpNet::V6(_)), Some(_)) => write!(f, "[{network}]")?,
            (Target::Network(network), _) => write!(f, "{network}")?,
            (Target::Host(name), _) => f.write_str(name)?,
            (Target::Under(name), _) => write!(f, "*.{name}")?,
        }
        match &self.ports {
            None => Ok(()),
            Some(ports) if ports.start() == ports.end() => write!(f, ":{}", ports.start()),
            Some(ports) => write!(f, ":{}-{}", ports.start(), ports.end()),
        }
    }
}

/// Splits a rule into target and port. An IPv6 address or network needs brackets if a port follows.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok() {
        return (text, None);
    }
    match text.rsplit_once(':') {
        Some((target, ports)) if !ports.contains([']', '/']) => (target, Some(ports)),
        _ => (text, None),
    }
}

fn read_target(target: &str, text: &str) -> Result<Target, Invalid> {
    // `[fd00::/8]` and `[fd00::]/8`.
    let plain = target.replace(['[', ']'], "");
    let network = plain.parse().or_else(|_| plain.parse::<IpAddr>().map(IpNet::from));
    if let Ok(network) = network {
        if network.trunc() != network {
            let meant = network.trunc();
            return Err(Invalid::new(format!("networks without host bits: write {meant} for `{plain}`")));
        }
        return Ok(Target::Network(network));
    }
    let name = target.to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    let (name, target): (_, fn(String) -> Target) = match name.strip_prefix("*.") {
        Some(rest) => (rest, Target::Under),
        None => (name, Target::Host),
    };
    if !is_host_name(name) {
        return Err(rule(text));
    }
    Ok(target(name.to_owned()))
}

fn read_ports(ports: &str, text: &str) -> Result<RangeInclusive<u16>, Invalid> {
    let port = |text: &str| text.parse().ok().filter(|port: &u16| *port > 0);
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (Some(first), Some(last)) = (port(first), port(last)) else { return Err(rule(text)) };
    if first > last {
        return Err(rule(text));
    }
    Ok(first..=last)
}

/// Whether `name` can be the host of a URL. A name whose last label is a number would be an IPv4 address there.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let ends_in_number =
        name.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(is_label) && !ends_in_number
}

fn rule(text: &str) -> Invalid {
    Invalid::new(format!(
        "rules of the form [TENANT=]TARGET[:PORT], separated by commas; a target is a network, an address or a host name, for \
        example 10.0.0.0/8, 10.1.2.3:8443, [fd00::/8]:8000-8099, hooks.internal.example:443, *.internal.example or \
        shop.example=10.0.0.0/8; `{text}` is not a rule"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_parsed_and_formatted() {
        for (text, written) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.3:8443", "10.1.2.3/32:8443"),
            ("10.0.0.0/8:8000-8099", "10.0.0.0/8:8000-8099"),
            ("::1", "::1/128"),
            ("fd00::/8", "fd00::/8"),
            ("[fd00::/8]", "fd00::/8"),
            ("[fd00::]/8", "fd00::/8"),
            ("[fd00::/8]:443", "[fd00::/8]:443"),
            ("[fd00::]/8:443", "[fd00::/8]:443"),
            ("[::1]:443", "[::1/128]:443"),
            ("localhost", "localhost"),
            ("Hooks.Internal.example.:443", "hooks.internal.example:443"),
            ("*.internal.example", "*.internal.example"),
            ("shop.example=10.0.0.0/8", "shop.example=10.0.0.0/8"),
            ("a=b=c=db:5432", "a=b=c=db:5432"),
        ] {
            let rule = EgressRule::parse(text).unwrap();
            assert_eq!(rule.to_string(), written);
            assert_eq!(EgressRule::parse(written).unwrap(), rule);
        }
    }

    #[test]
    fn invalid_rules_are_refused() {
        for (text, message) in [
            ("127.0.0.1/8", "networks without host bits: write 127.0.0.0/8 for `127.0.0.1/8`"),
            ("shop=10.0.0.1/8:80", "networks without host bits: write 10.0.0.0/8 for `10.0.0.1/8`"),
            (
                "=10.0.0.0/8",
                "`=10.0.0.0/8`: a tenant's name must have 1 to 128 bytes without white space or control characters",
            ),
            (
                "shop example=::1",
                "`shop example=::1`: a tenant's name must have 1 to 128 bytes without white space or control characters",
            ),
        ] {
            assert_eq!(EgressRule::parse(text).unwrap_err().to_string(), message);
        }
        for text in [
            "",
            ":80",
            "a b",
            "10.0.0",
            "10.0.0.0/33",
            "10.0.0.1:0",
            "10.0.0.1:65536",
            "10.0.0.1:9-8",
            "10.0.0.1:",
            "https://internal.example",
            "internal.example/path",
            "*",
            "*.",
            "a..b",
            "-:x",
            "8080",
            "shop=",
        ] {
            let message = EgressRule::parse(text).unwrap_err().to_string();
            assert!(message.ends_with(&format!("; `{text}` is not a rule")), "{text}: {message}");
        }
    }

    #[test]
    fn a_rule_covers_only_its_target_and_ports() {
        for (rule, host, address, covers) in [
            ("10.0.0.0/8", "a.example", "10.1.2.3:80", true),
            ("10.0.0.0/8", "a.example", "11.1.2.3:80", false),
            ("10.0.0.0/8", "a.example", "[::ffff:10.1.2.3]:80", true),
            ("10.0.0.0/8:80", "a.example", "10.1.2.3:81", false),
            ("10.0.0.0/8:80-81", "a.example", "10.1.2.3:81", true),
            ("[::1]:80", "::1", "[::1]:80", true),
            ("db.internal", "db.internal", "10.1.2.3:80", true),
            ("db.internal", "db.internal.", "10.1.2.3:80", true),
            ("db.internal", "a.db.internal", "10.1.2.3:80", false),
            ("db.internal", "10.1.2.3", "10.1.2.3:80", false),
            ("db.internal:80", "db.internal", "10.1.2.3:81", false),
            ("*.internal", "db.internal", "10.1.2.3:80", true),
            ("*.internal", "internal", "10.1.2.3:80", false),
            ("*.internal", ".internal", "10.1.2.3:80", false),
            ("*.internal", "dbinternal", "10.1.2.3:80", false),
        ] {
            let rule = EgressRule::parse(rule).unwrap();
            assert_eq!(rule.covers(host, address.parse().unwrap()), covers, "{rule} {host} {address}");
        }
    }
}
