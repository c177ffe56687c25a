//! The members about flow control, as they are sent.

use serde_json::Number;

use super::batch::{BatchInput, read_batch};
use crate::api::json::Object;
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::domain::{Flow, Hook, PluginRef, Rate};

/// See the module's head.
#[derive(Debug, Clone)]
pub(in crate::api::v3::hooks) struct FlowInput {
    pub max_in_flight: Option<u32>,
    pub max_per_second: Option<f64>,
    pub batch: Option<Object<BatchInput>>,
}

impl FlowInput {
    /// Validates all members and adds them to `hook`. The engine allows `limit` requests of a hook in flight.
    ///
    /// # Errors
    /// Fails with the first member that breaks a rule.
    pub fn add_to(
        self,
        hook: &mut Hook,
        limit: usize,
        resolves: impl Fn(&PluginRef) -> bool,
    ) -> Result<(), Problem> {
        if self.max_in_flight.is_some_and(|most| most == 0 || most as usize > limit) {
            let rule =
                format!("expected a number from 1 to {limit}, the engine's limit (`max_in_flight_per_hook`)");
            return Err(Problem::at(Kind::InvalidValue, Pointer::to("max_in_flight"), rule));
        }
        let max_per_second = read_rate(self.max_per_second)?;
        if self.batch.is_some() && hook.options.ordering.is_some() {
            let rule = "a hook with `ordering` sends one event at a time; leave out `batch` or `ordering`";
            return Err(Problem::at(Kind::InvalidValue, Pointer::to("batch"), rule));
        }
        let read = |Object(batch): Object<BatchInput>| read_batch(batch, &hook.pipeline, resolves);
        let (batch, batch_pipeline) = self.batch.map(read).transpose()?.unzip();
        hook.options.batch_pipeline = batch_pipeline.unwrap_or_default();
        hook.options.flow = Flow { max_in_flight: self.max_in_flight, max_per_second, batch }.into_option();
        Ok(())
    }
}

/// Validates the member `max_per_second`.
///
/// # Errors
/// Fails if it is out of bounds.
pub(in crate::api::v3) fn read_rate(rate: Option<f64>) -> Result<Option<Rate>, Problem> {
    let read = |rate| Rate::per_second(rate);
    rate.map(read).transpose().map_err(|rule| Problem::invalid(Pointer::to("max_per_second"), rule))
}

/// A rate as JSON: a whole number if it is one.
pub(in crate::api::v3) fn rate_number(rate: Rate) -> Option<Number> {
    let rate = rate.as_f64();
    if rate.fract() == 0.0 { Some(Number::from(rate as u64)) } else { Number::from_f64(rate) }
}
