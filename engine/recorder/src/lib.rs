//! Writes what the subscribers of a publisher answer into a database, exactly once.
//!
//! A [`Batch`] of responses goes to [`Store::write`], which stores it by one transaction and says, after the
//! commit and not before, what may be acknowledged. Of each message the first result is kept, and how many
//! have responded; whoever says something else is kept apart. Which responses of a responder are stored is
//! stored with them, so a response is counted once, whatever was killed in between.
//!
//! ```text
//!   Response ──> Batch ──> Store::write ──> one transaction ──> Receipt: next, bitmap (one per responder)
//! ```
//!
//! One recorder writes. Others stand by: [`Store::open`] gives them nothing until the first is gone.

mod batch;
pub mod counters;
mod database;
mod error;
mod lock;
mod recorder;
pub mod records;
pub mod store;

pub use batch::{Batch, Receipt, Responder, Response, Subject, Tally};
pub use counters::RecorderCounters;
pub use database::{Database, DatabaseError};
pub use error::{StoreError, Trouble};
pub use headcast::BuildError;
pub use recorder::{Builder, RecordError, Recorder, State, Stopper};
pub use store::{Durability, Options, Store};
