//! The settings of the addresses on which the engine listens.

use crate::config::read;
use crate::config::setting::{Setting, setting};

pub(super) static SETTINGS: &[Setting] = &[
    setting!(
        "listen",
        "ADDRESS",
        Some("127.0.0.1:8080"),
        "The address and port on which the API listens; port 0 selects a free port",
        listen = read::listen
    ),
    setting!(
        "tls_cert_file",
        "FILE",
        None,
        "A PEM file with the certificate of the API's listener, followed by those of its issuers. With it and `tls_key_file`, the API is served over TLS",
        tls_cert_file = |text| read::path(text).map(Some)
    ),
    setting!(
        "tls_key_file",
        "FILE",
        None,
        "A PEM file with the private key of the certificate in `tls_cert_file`",
        tls_key_file = |text| read::path(text).map(Some)
    ),
    setting!(
        "admin_listen",
        "ADDRESS",
        Some("127.0.0.1:8081"),
        "The address and port of probes and metrics, which need no key; port 0 selects a free port; `off`: nowhere",
        admin_listen = |text| read::or_off(text, read::listen)
    ),
    setting!(
        "admin_tls_cert_file",
        "FILE",
        None,
        "As `tls_cert_file`, for `admin_listen`",
        admin_tls_cert_file = |text| read::path(text).map(Some)
    ),
    setting!(
        "admin_tls_key_file",
        "FILE",
        None,
        "As `tls_key_file`, for `admin_listen`",
        admin_tls_key_file = |text| read::path(text).map(Some)
    ),
    setting!(
        "metrics_per_tenant",
        "BOOL",
        Some("false"),
        "Whether the metrics count events and attempts by tenant, too, for up to 500 tenants",
        metrics_per_tenant = read::boolean
    ),
    setting!(
        "operator_api",
        "WHERE",
        Some("shared"),
        "Where operators' keys are accepted: `shared`, on `listen`, as those of tenants; `admin`, only on `admin_listen`, which then serves the API v3 to operators",
        operator_api = read::operator_api
    ),
    setting!(
        "console",
        "BOOL",
        Some("true"),
        "Whether the console is served at `/`, where the API v3 is",
        console = read::boolean
    ),
    setting!(
        "console_url",
        "ORIGIN",
        None,
        "Where browsers reach the console on `listen`, such as `https://hooks.shop.example`: what links to it begin with. Without it, a link begins with the `Host` of the request that makes it",
        console_url = |text| read::origin(text).map(Some)
    ),
    Setting {
        list: true,
        ..setting!(
            "console_frame_ancestors",
            "ORIGINS",
            None,
            "The origins of pages that may show the console in a frame, such as `https://shop.example`. Without it, none may",
            console_frame_ancestors = read::origins
        )
    },
];
