//! What tells lines about requests from others.

/// The target of lines about requests. They pass every filter that does not name it: a setting of its own says whether there
/// are any.
pub const ACCESS: &str = "access";
