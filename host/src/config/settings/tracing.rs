//! The settings of distributed traces.

use crate::config::read;
use crate::config::setting::{Setting, setting};

pub(super) static SETTINGS: &[Setting] = &[
    setting!(
        "otlp_endpoint",
        "URL",
        None,
        "The OpenTelemetry collector to which traces are exported by OTLP over HTTP, such as `http://127.0.0.1:4318`. Without it, no traces are made",
        otlp_endpoint = |text| read::otlp_endpoint(text).map(Some)
    ),
    Setting {
        secret: true,
        list: true,
        ..setting!(
            "otlp_headers",
            "HEADERS",
            None,
            "Headers of requests to the collector, such as `authorization=Bearer abc`",
            otlp_headers = read::headers
        )
    },
    setting!(
        "otlp_sample_ratio",
        "RATIO",
        Some("0.01"),
        "The share of requests whose publisher sends no `traceparent` that are recorded, from 0 to 1. With one, its publisher decides",
        otlp_sample_ratio = read::ratio
    ),
];
