//! Parsers of settings. Each returns the value, or a description of the values that are allowed.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use url::Url;

use super::values::{AdminKey, LogFormat, OperatorApi};
use crate::domain::egress_route::{EgressProxy, SourceAddresses};
use crate::domain::receiver_options::is_dns_name;
use crate::domain::{EgressRule, SecretText, ShortText};
use crate::vault::Key;

/// The path to which traces are posted, below the collector's address (OTLP 1, "OTLP/HTTP Request").
const OTLP_TRACES: &str = "/v1/traces";

/// An integer within bounds.
pub(super) fn number<N>(text: &str, allowed: RangeInclusive<N>) -> Result<N, String>
where
    N: FromStr + PartialOrd + std::fmt::Display,
{
    // TOML allows `4_096`; the other sources accept it, too.
    let parsed = text.replace('_', "").parse().ok().filter(|number| allowed.contains(number));
    parsed.ok_or_else(|| format!("an integer from {} to {}", allowed.start(), allowed.end()))
}

/// A duration in milliseconds.
pub(super) fn millis(text: &str, allowed: RangeInclusive<u64>) -> Result<Duration, String> {
    number(text, allowed).map(Duration::from_millis).map_err(|rule| format!("{rule}, in milliseconds"))
}

/// A duration in seconds.
pub(super) fn seconds(text: &str, allowed: RangeInclusive<u64>) -> Result<Duration, String> {
    number(text, allowed).map(Duration::from_secs).map_err(|rule| format!("{rule}, in seconds"))
}

/// A yes or no.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "true or false".to_owned())
}

/// A value, or none for `off`.
pub(super) fn or_off<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if text == "off" {
        return Ok(None);
    }
    read(text).map(Some).map_err(|rule| format!("`off` or {rule}"))
}

/// An address to listen on.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "an IP address and a port, such as 127.0.0.1:8080 or [::]:8080".to_owned())
}

/// A path.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("a non-empty path".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// The URL of a PostgreSQL database.
pub(super) fn database(text: &str) -> Result<SecretText, String> {
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err("a URL that begins with postgres://".to_owned());
    }
    Ok(SecretText::new(text))
}

/// A comma-separated list of networks and addresses.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(network).collect()
}

fn network(text: &str) -> Result<IpNet, String> {
    let rule = || {
        format!(
            "a comma-separated list of IP networks and addresses, such as 10.0.0.0/8,::1; `{text}` is neither"
        )
    };
    let parsed = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| rule())?;
    if parsed.trunc() != parsed {
        return Err(format!("networks without host bits: write {} instead of `{text}`", parsed.trunc()));
    }
    Ok(parsed)
}

/// A comma-separated list of egress rules.
pub(super) fn egress_rules(text: &str) -> Result<Vec<EgressRule>, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| EgressRule::parse(item).map_err(|rule| rule.to_string())).collect()
}

/// A comma-separated list of egress rules for all tenants.
pub(super) fn egress_targets(text: &str) -> Result<Vec<EgressRule>, String> {
    let rules = egress_rules(text)?;
    match rules.iter().find(|rule| rule.tenant().is_some()) {
        Some(rule) => Err(format!("targets without a tenant; `{rule}` has one")),
        None => Ok(rules),
    }
}

/// The URL of a proxy. The error does not contain the text.
pub(super) fn egress_proxy(text: &str) -> Result<EgressProxy, String> {
    EgressProxy::parse(text).map_err(|rule| rule.to_string())
}

/// A comma-separated list of addresses of this machine.
pub(super) fn source_addresses(text: &str) -> Result<SourceAddresses, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let parsed =
        items.map(|item| item.parse::<IpAddr>().map_err(|_| format!("`{item}` is not an IP address")));
    SourceAddresses::new(&parsed.collect::<Result<Vec<_>, _>>()?).map_err(|rule| rule.to_string())
}

/// A DNS name.
pub(super) fn dns_name(text: &str) -> Result<String, String> {
    match is_dns_name(text) {
        true => Ok(text.to_owned()),
        false => Err("a DNS name, such as hooks.shop.example".to_owned()),
    }
}

/// A comma-separated list of origins of web pages, as browsers write them.
pub(super) fn origins(text: &str) -> Result<Vec<String>, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let rule = |item: &str| {
        format!("a comma-separated list of origins, such as https://shop.example; `{item}` is not an origin")
    };
    items.map(|item| origin(item).map_err(|_| rule(item))).collect()
}

/// The origin of web pages, as browsers write it.
pub(super) fn origin(item: &str) -> Result<String, String> {
    let parsed = url::Url::parse(item).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let origin = parsed.map(|url| url.origin().ascii_serialization());
    let rule = "an origin without a path, such as https://shop.example";
    origin.filter(|origin| origin == item.trim_end_matches('/')).ok_or_else(|| rule.to_owned())
}

/// A comma-separated list of header names.
pub(super) fn header_names(text: &str) -> Result<Vec<ShortText>, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(header_name).collect()
}

fn header_name(item: &str) -> Result<ShortText, String> {
    let name = http::HeaderName::from_bytes(item.as_bytes());
    let rule = |_| {
        format!(
            "a comma-separated list of header names, such as x-customer,x-tenant; `{item}` is not a header name"
        )
    };
    name.map(|name| name.as_str().into()).map_err(rule)
}

/// The operator's key. The error does not contain the text.
pub(super) fn admin_key(text: &str) -> Result<AdminKey, String> {
    AdminKey::new(text)
        .ok_or_else(|| format!("{} to {} visible ASCII characters", AdminKey::MIN_LEN, AdminKey::MAX_LEN))
}

/// The key that encrypts secrets. The error does not contain the text.
pub(super) fn encryption_key(text: &str) -> Result<Key, String> {
    Key::from_text(text).ok_or_else(|| {
        "32 random bytes in base64, such as the output of `openssl rand -base64 32`".to_owned()
    })
}

/// A comma-separated list of encryption keys. The error does not contain the text.
pub(super) fn encryption_keys(text: &str) -> Result<Vec<Key>, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let keys = items.map(Key::from_text).collect::<Option<_>>();
    keys.ok_or_else(|| "a comma-separated list of keys of 32 bytes in base64".to_owned())
}

/// A number of threads, or `auto` for one per core.
pub(super) fn threads(text: &str) -> Result<usize, String> {
    if text == "auto" {
        return Ok(crate::cores::count().min(256));
    }
    number(text, 1..=256).map_err(|rule| format!("`auto` (one per core) or {rule}"))
}

/// A filter on log lines.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    // The parser treats a space as part of the target's name.
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    let filter = directives.join(",");
    let parsed = EnvFilter::builder().parse(&filter).ok();
    let known =
        parsed.filter(|_| !filter.is_empty() && directives.iter().copied().all(names_a_level_or_target));
    let rule = "error, warn, info, debug, trace, off, or a comma-separated list of directives, such as info,hookwright::delivery=debug";
    known.map(|_| filter).ok_or_else(|| rule.to_owned())
}

/// Whether a directive is a level or names a target of the engine. The parser would accept any word as a
/// target, so that a misspelled level such as `verbos` would silence all other targets.
fn names_a_level_or_target(directive: &str) -> bool {
    let is_target = directive.contains(['=', '[', ':']) || directive == env!("CARGO_PKG_NAME");
    is_target || directive.is_empty() || directive.parse::<LevelFilter>().is_ok()
}

/// Where operators' keys are accepted.
pub(super) fn operator_api(text: &str) -> Result<OperatorApi, String> {
    match text {
        "shared" => Ok(OperatorApi::WithTenants),
        "admin" => Ok(OperatorApi::Admin),
        _ => Err("shared or admin".to_owned()),
    }
}

/// The URL of an OpenTelemetry collector, with the path of the signal.
pub(super) fn otlp_endpoint(text: &str) -> Result<Url, String> {
    let rule = || "an http or https URL, such as http://127.0.0.1:4318".to_owned();
    let mut url = Url::parse(text).ok().filter(|url| url.has_host()).ok_or_else(rule)?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_plain {
        return Err(format!("{}, without a user and a query", rule()));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with(OTLP_TRACES) {
        url.set_path(&format!("{path}{OTLP_TRACES}"));
    }
    Ok(url)
}

/// A comma-separated list of headers. The error does not contain the text.
pub(super) fn headers(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, value) = item.split_once('=').unwrap_or_default();
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok();
        let value = HeaderValue::from_str(value.trim()).ok();
        let (Some(name), Some(mut value)) = (name, value) else {
            return Err("a comma-separated list of headers, such as authorization=Bearer abc".to_owned());
        };
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// A number from 0 to 1.
pub(super) fn ratio(text: &str) -> Result<f64, String> {
    let parsed = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    parsed.ok_or_else(|| "a number from 0 to 1".to_owned())
}

/// The format of log lines.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("text or json".to_owned()),
    }
}
