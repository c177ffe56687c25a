//! How much memory hooks take.

use crate::domain::receiver_options::ReceiverOptions;
use crate::domain::{Hook, Pipeline};

/// The size of a hook without its texts: index entries and the struct.
const HOOK_OVERHEAD_BYTES: usize = 1_024;
/// The size of a list element without its text.
const ITEM_OVERHEAD_BYTES: usize = 48;

/// About how many bytes of memory a hook takes; a simple one about 1.5 KB.
pub(super) fn hook_bytes(hook: &Hook) -> usize {
    let item = |bytes: usize| bytes + ITEM_OVERHEAD_BYTES;
    let pipeline = |pipeline: &Pipeline| -> usize {
        pipeline.0.iter().map(|step| item(step.settings.len() + ITEM_OVERHEAD_BYTES)).sum()
    };
    let patterns = hook.subscription.patterns().iter().map(|it| 2 * item(it.text_len()));
    let headers = hook.headers.iter().map(|(name, value)| item(name.len() + value.len()));
    HOOK_OVERHEAD_BYTES
        + hook.url.as_str().len()
        + hook.description.len()
        + hook.origin.members.len()
        + hook.authorization.as_ref().map_or(0, |it| it.value.reveal().len())
        + patterns.chain(headers).sum::<usize>()
        + hook.masked_headers.iter().map(|name| item(name.len())).sum::<usize>()
        + pipeline(&hook.preflight)
        + pipeline(&hook.pipeline)
        + pipeline(&hook.options.batch_pipeline)
        + item(hook.secrets.len() * 64)
        + hook.receiver().map_or(0, ReceiverOptions::bytes)
        + size_of_val(hook.retry.waits())
}
