//! Labels: the values that they can have.

use crate::domain::hook_stats::AttemptEnd;
use crate::domain::{DeliveryState, FaultKind};

/// A label with few values.
pub trait Label: Copy {
    /// The values as monitoring sees them, in the order of [`Self::index`].
    const NAMES: &'static [&'static str];

    /// Which one it is.
    fn index(self) -> usize;
}

macro_rules! labels_of_domain {
    ($($name:ty),+) => {
        $(impl Label for $name {
            const NAMES: &'static [&'static str] = <$name>::NAMES;

            fn index(self) -> usize {
                self as usize
            }
        })+
    };
}

labels_of_domain!(AttemptEnd, DeliveryState, FaultKind);

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$case_doc])* $case),+ }

        impl $crate::metrics::Label for $name {
            const NAMES: &'static [&'static str] = &[$($text),+];

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}
pub(super) use label;
