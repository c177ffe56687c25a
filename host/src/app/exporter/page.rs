//! Writes figures.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use crate::metrics::Snapshot;

/// The name of a figure without the suffix that its type has, and its meaning, which ends with a period.
type Head<'a> = (&'a str, &'a str);

/// Figures that are being written.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl<'a> Page<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// A number that grows.
    pub(super) fn counter(&mut self, head: Head<'_>, value: impl EncodeCounterValue) -> fmt::Result {
        encode_counter(self.begin(head, MetricType::Counter)?, &value)
    }

    /// Numbers that grow, by labels.
    pub(super) fn counters<'l>(
        &mut self,
        head: Head<'_>,
        values: impl IntoIterator<Item = (Vec<(&'l str, &'l str)>, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.begin(head, MetricType::Counter)?;
        for (labels, value) in values {
            encode_counter(encoder.encode_family(&labels)?, &value)?;
        }
        Ok(())
    }

    /// Numbers that grow, by one label.
    pub(super) fn counters_by(
        &mut self,
        head: Head<'_>,
        label: &str,
        values: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> fmt::Result {
        self.counters(head, values.into_iter().map(|(name, value)| (vec![(label, name)], value)))
    }

    /// A number.
    pub(super) fn gauge(&mut self, head: Head<'_>, value: impl EncodeGaugeValue) -> fmt::Result {
        self.begin(head, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// Numbers, by labels.
    pub(super) fn gauges<'l, V: EncodeGaugeValue>(
        &mut self,
        head: Head<'_>,
        values: impl IntoIterator<Item = (Vec<(&'l str, &'l str)>, V)>,
    ) -> fmt::Result {
        let mut encoder = self.begin(head, MetricType::Gauge)?;
        for (labels, value) in values {
            encoder.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// Numbers, by one label.
    pub(super) fn gauges_by<V: EncodeGaugeValue>(
        &mut self,
        head: Head<'_>,
        label: &str,
        values: impl IntoIterator<Item = (&'static str, V)>,
    ) -> fmt::Result {
        self.gauges(head, values.into_iter().map(|(name, value)| (vec![(label, name)], value)))
    }

    /// Numbers in ranges.
    pub(super) fn histogram(&mut self, head: Head<'_>, snapshot: &Snapshot) -> fmt::Result {
        encode_histogram(self.begin(head, MetricType::Histogram)?, snapshot)
    }

    /// Numbers in ranges, by labels. What has counted nothing is left out.
    pub(super) fn histograms<L: EncodeLabelSet>(
        &mut self,
        head: Head<'_>,
        values: impl IntoIterator<Item = (L, Snapshot)>,
    ) -> fmt::Result {
        let mut encoder = self.begin(head, MetricType::Histogram)?;
        for (labels, snapshot) in values.into_iter().filter(|(_, snapshot)| snapshot.count > 0) {
            encode_histogram(encoder.encode_family(&labels)?, &snapshot)?;
        }
        Ok(())
    }

    fn begin<'s>(
        &'s mut self,
        (name, meaning): (&'s str, &str),
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, meaning, None, kind)
    }
}

fn encode_counter(mut encoder: MetricEncoder<'_>, value: &impl EncodeCounterValue) -> fmt::Result {
    encoder.encode_counter(value, None::<&Exemplar<NoLabelSet, f64>>)
}

fn encode_histogram(mut encoder: MetricEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    encoder.encode_histogram::<NoLabelSet>(snapshot.sum, snapshot.count, &snapshot.buckets, None)
}
