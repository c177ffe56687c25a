//! The only place that opens outbound connections, always through the [egress policy](super::egress).
//!
//! ```text
//! send ─▶ exchange ─┬─ pool.take ──▶ connection.send ─┬─ response, read whole ─▶ pool.put ─┐
//!                   │ (own pool, then siblings')      ├─ closed meanwhile ─▶ the next      ├─▶ Outcome
//!                   └─ connect, if there is none ──▶──└─ broken, late, too long ─▶ closed ─┘
//! ```
//!
//! An exchange runs in the task of its attempt and nowhere else: it polls hyper's half of the connection together with what
//! it waits for, so that no request moves to another task and back. If the attempt is dropped, by its timeout or a shutdown,
//! its connection is dropped too, and closes.
//!
//! Between exchanges a connection is idle in the `pool`, where nothing polls it. If the receiver has closed it, that shows
//! when it is taken out. This costs no attempt, because hyper checks before it writes, and gives the request back.

mod connect;
mod connection;
mod delivery_client;
mod endpoint;
mod exchange;
mod interim;
mod lookup;
mod own_failure;
mod pool;
mod request;
mod response;
mod route;
mod socket;
mod stream;
#[cfg(test)]
mod tests;
mod unreachable;

pub use self::connect::Connector;
pub use self::delivery_client::{DeliveryClient, MAX_IDLE_CONNECTIONS};
pub use self::own_failure::OwnFailure;
pub use self::request::{MakeAgain, Sender};
pub use self::route::Route;
