//! Finds out who receives.
//!
//! A [`Source`] says where the peers of a publisher come from: a fixed list, a watched file, or the name of a
//! headless service in DNS. A [`Watcher`] asks the source from time to time, holds the answers against the
//! membership [policy], and keeps the [`PeerSet`] that results. [`handoff`] carries whatever is prepared from
//! that set to the thread that sends, without a lock and without making that thread free memory.
//!
//! ```text
//!   Source ──> Watcher::refresh ──> policy ──> PeerSet ──> (prepared batch) ──> handoff ──> data thread
//!              asks once, blocks    believes   who is in                        two mailboxes
//! ```
//!
//! Nothing here runs by itself: the caller calls, says what time it is, and sleeps for as long as
//! [`Report::next`] says, by [`Stop::wait`].
//!
//! Without the feature `dns` neither hickory nor tokio is needed, and [`Source`] has no DNS.

#[cfg(feature = "dns")]
mod dns;
pub mod file;
pub mod handoff;
#[cfg(feature = "dns")]
mod pace;
pub mod policy;
mod report;
mod set;
mod source;
mod stop;
mod target;
mod watcher;

#[cfg(feature = "dns")]
pub use dns::{DnsQuery, NameError};
pub use report::{LookupError, Outcome, Report};
pub use set::PeerSet;
pub use source::{Limits, Source, SourceError};
pub use stop::Stop;
pub use target::{Host, PeerError, TargetError, parse_peer, parse_target};
pub use watcher::Watcher;
