//! Conversions of the engine's errors to problems.

use super::{Kind, Problem};
use crate::api::pointer::Pointer;
use crate::directory::{DirectoryError, StaleConfiguration};
use crate::domain::PipelinePlace;
use crate::ingest::{NotAdmitted, TestError};
use crate::sandbox::SandboxError;
use crate::services::{DeliveryError, JobError, LimitExceeded, NotReady, SameSecret, SettingsError};
use crate::storage::StorageError;

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        match &error {
            StorageError::Taken { .. } => Self::new(Kind::Conflict, error.to_string()),
            StorageError::TooManyReads => {
                Self::new(Kind::TooManyRequests, format!("{error}; wait for their responses, then try again"))
            }
            StorageError::NoSpace => Self::new(
                Kind::Unavailable,
                "the engine's disk is full; requests that write fail until the operator frees space, while reads and deletions still work",
            ),
            StorageError::Fenced => Self::new(Kind::Unavailable, error.to_string()),
            StorageError::Unstorable => Self::new(Kind::InvalidValue, error.to_string()),
            StorageError::RolledBack(cause) if matches!(**cause, StorageError::NoSpace) => {
                Self::from(StorageError::NoSpace)
            }
            StorageError::RolledBack(cause) if matches!(**cause, StorageError::Unstorable) => {
                Self::from(StorageError::Unstorable)
            }
            StorageError::Damaged { .. } => Self::internal("reading from storage", &error),
            _ => Self::unavailable("using storage", &error),
        }
    }
}

impl From<NotReady> for Problem {
    fn from(why: NotReady) -> Self {
        match &why {
            NotReady::Draining | NotReady::TimedOut => Self::new(Kind::Unavailable, why.to_string()),
            NotReady::Storage(error) => match &**error {
                // These messages describe only the state of the disk and the node, which monitoring may see.
                StorageError::NoSpace | StorageError::CannotWrite(_) | StorageError::Fenced => {
                    Self::new(Kind::Unavailable, error.to_string())
                }
                // Also a damaged row: probes come all the time, and would fill the log.
                _ => Self::unavailable("checking the storage", error),
            },
        }
    }
}

impl From<StaleConfiguration> for Problem {
    fn from(error: StaleConfiguration) -> Self {
        Self::new(Kind::Unavailable, error.to_string())
    }
}

impl From<DirectoryError> for Problem {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Taken(what) | DirectoryError::InUse(what) => Self::new(Kind::Conflict, what),
            DirectoryError::NoProject(_) => {
                Self::at(Kind::InvalidValue, Pointer::to("project"), error.to_string())
            }
            DirectoryError::NoPlugin { place, step, .. } => {
                let here = pointer_to(place).index(step).member("plugin");
                Self::at(Kind::InvalidValue, here, error.to_string())
            }
            DirectoryError::TooManyChanges => {
                Self::new(Kind::TooManyRequests, format!("{error}; wait for their responses, then try again"))
            }
            DirectoryError::TooManyInADay { wait_s, .. } => {
                Self::new(Kind::TooManyRequests, error.to_string()).later(Some(wait_s), None)
            }
            DirectoryError::TooMany(what) => Self::new(Kind::LimitReached, what),
            DirectoryError::Storage(error) => error.into(),
        }
    }
}

impl From<TestError> for Problem {
    fn from(error: TestError) -> Self {
        match error {
            TestError::Busy => Self::new(Kind::Unavailable, error.to_string()),
            TestError::NotAdmitted(why) => why.into(),
            TestError::Storage(error) => error.into(),
        }
    }
}

impl From<NotAdmitted> for Problem {
    fn from(why: NotAdmitted) -> Self {
        let (kind, rate) = match why {
            NotAdmitted::Suspended => (Kind::TenantSuspended, None),
            NotAdmitted::TooFast(status) => (Kind::TooManyRequests, Some(status)),
            NotAdmitted::Full { .. } => (Kind::StorageFull, None),
        };
        Self::new(kind, why.to_string()).later(why.retry_after_s(), rate)
    }
}

/// Where the pipeline is in a hook's representation.
fn pointer_to(place: PipelinePlace) -> Pointer {
    match place {
        PipelinePlace::Event => Pointer::to("pipeline"),
        PipelinePlace::Batch => Pointer::to("batch").member("pipeline"),
    }
}

impl From<SandboxError> for Problem {
    fn from(error: SandboxError) -> Self {
        Self::unavailable("running a plugin", &error)
    }
}

impl From<LimitExceeded> for Problem {
    fn from(error: LimitExceeded) -> Self {
        Self::new(Kind::TooManyRequests, error.to_string())
    }
}

impl From<DeliveryError> for Problem {
    fn from(error: DeliveryError) -> Self {
        let kind = match error {
            DeliveryError::NotFound(id) => return Self::not_found("delivery", &id.to_string()),
            DeliveryError::Limit(error) => return error.into(),
            DeliveryError::Storage(error) => return error.into(),
            DeliveryError::NoEvent(event) => return Self::not_found("event", &event.to_string()),
            DeliveryError::NoHook(_) => {
                return Self::at(Kind::InvalidValue, Pointer::to("hook"), error.to_string());
            }
            DeliveryError::HookDeleted(_)
            | DeliveryError::HookDisabled(_)
            | DeliveryError::Erased(_)
            | DeliveryError::WrongState { .. }
            | DeliveryError::InProgress => Kind::Conflict,
            DeliveryError::TooManyAttempts(_) | DeliveryError::TooManyDeliveries => Kind::LimitReached,
            DeliveryError::TooManyCancelled => Kind::TooManyRequests,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        let kind = match error {
            JobError::NotFound(id) => return Self::not_found("job", &id.to_string()),
            JobError::Storage(error) => return error.into(),
            JobError::Limit(error) => return error.into(),
            JobError::Change(error) => return error.into(),
            JobError::WrongState { .. } | JobError::HookDisabled(_) => Kind::Conflict,
            JobError::TooMany | JobError::TooLarge => Kind::LimitReached,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<SettingsError> for Problem {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::Rejected { place, step, .. } => {
                let here = pointer_to(place).index(step).member("settings");
                Self::at(Kind::InvalidValue, here, error.to_string())
            }
            SettingsError::Abandoned => Self::new(Kind::RequestTimeout, error.to_string()),
            SettingsError::Limit(error) => error.into(),
            SettingsError::Sandbox(error) => error.into(),
            SettingsError::Storage(error) => error.into(),
        }
    }
}

impl From<SameSecret> for Problem {
    fn from(error: SameSecret) -> Self {
        Self::at(Kind::InvalidValue, Pointer::to("secret"), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn whatever_is_wrong_with_the_storage_a_probe_is_told_that_the_node_is_unavailable() {
        let damaged = StorageError::Damaged { what: "delivery", detail: "it has no event".to_owned() };
        for error in [StorageError::NoSpace, StorageError::Fenced, StorageError::Closed, damaged] {
            let problem = Problem::from(NotReady::Storage(Arc::new(error)));
            assert_eq!(problem.kind(), Kind::Unavailable, "{problem}");
        }
    }
}
