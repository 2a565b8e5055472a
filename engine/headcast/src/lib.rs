//! A message to every pod of a Kubernetes service.
//!
//! A [`Publisher`] asks DNS for the pods behind a headless service, keeps that set fresh on a thread
//! of its own, and sends every message to all of them by unicast UDP: one prepared batch, one system
//! call for up to 1,024 peers. Messages are numbered and sent more than once; a [`Subscriber`] hands
//! each one on once.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut publisher =
//!     headcast::Publisher::builder().to("headless-udp.demo.svc.cluster.local:12000")?.build()?;
//! publisher.wait_for_peers(std::time::Duration::from_secs(5))?;
//! publisher.publish(b"hello")?;
//! publisher.close(std::time::Duration::from_secs(1))?;
//! # Ok(())
//! # }
//! ```
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut subscriber = headcast::Subscriber::builder().listen("0.0.0.0:12000".parse()?).build()?;
//! loop {
//!     let message = subscriber.recv()?;
//!     println!("{} bytes from {:?}", message.payload.len(), message.source());
//! }
//! # }
//! ```
//!
//! How messages are made to arrive is the publisher's [`Mode`]: several spaced copies by default, and on request
//! repairs for whoever lost them all. What cannot be repaired is told: [`Subscriber::next`] and
//! [`Subscriber::try_next`] give gaps, sessions that begin and end, and publishers that fall silent beside the
//! messages. Messages of up to 1 MiB are cut into datagrams and put together again; `ordered` hands them on as
//! they were published, `history` asks for those before.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use headcast::Event;
//! # let mut subscriber = headcast::Subscriber::builder().build().map_err(std::io::Error::other)?;
//! while let Some(event) = subscriber.next(std::time::Duration::from_secs(10))? {
//!     match event {
//!         Event::Message(message) => println!("{} bytes", message.payload.len()),
//!         Event::Gap { id, from, to } => println!("{id:?}: {from} to {to} are lost"),
//!         Event::Silent { id } => println!("{id:?} is not heard any more"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Messages can be answered. A [`Responder`] keeps each answer and sends it to the recorder, again and again until it is
//! stored; [`Message::respond`] answers at once, [`Responder::respond`] later or from another thread.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use headcast::{Responder, Subscriber};
//! let responder = Responder::builder().to("recorder.demo.svc.cluster.local:12001")?.build()?;
//! let mut subscriber = Subscriber::builder().responder(responder.clone()).build()?;
//! let message = subscriber.recv()?;
//! message.respond(b"done")?;
//! let left = responder.close(std::time::Duration::from_secs(20));
//! assert_eq!(left, 0, "not stored yet");
//! # Ok(())
//! # }
//! ```
//!
//! Who owns a loop of his own calls [`Publisher::turn`] in it; who doesn't calls [`Publisher::run`].
//! Other threads publish through a [`Handle`]. Nothing on the data thread allocates, locks or logs
//! once the publisher is built; everything that happens is counted, and a [`Monitor`] reads the
//! counts from any thread.

mod address;
mod affinity;
mod bell;
pub mod clock;
mod control;
pub mod counters;
mod egress;
mod error;
mod identity;
mod ingress;
mod publisher;
mod queue;
mod responder;
mod ring;
mod subscriber;
mod timer;

pub use control::{FrameStatus, Monitor, Status};
pub use counters::{PublisherCounters, ResponderCounters, SubscriberCounters};
pub use error::{BuildError, PublishError, RespondError, WaitError};
pub use headcast_peers as peers;
pub use headcast_proto::{Refusal, Session, StreamId};
pub use headcast_udp::{Capabilities, Failure, XdpError};
pub use identity::host_publisher_id;
pub use ingress::Listen;
pub use publisher::{Backend, Backlog, Builder as PublisherBuilder, Claim, Mode, Publisher};
pub use queue::Handle;
pub use responder::{Builder as ResponderBuilder, Responder};
pub use subscriber::{Builder as SubscriberBuilder, Event, Message, Origin, Subscriber};

/// Limits and defaults, with their units.
pub mod limits {
    /// The default size of a datagram in bytes, header included: an Ethernet frame of 1,500 bytes less
    /// the headers of IPv6 and UDP and of a tunnel.
    pub const DATAGRAM_DEFAULT: usize = 1392;
    /// The largest datagram in bytes: what UDP over IPv4 can carry.
    pub const DATAGRAM_MAX: usize = headcast_proto::header::DATAGRAM_MAX;
    /// Bytes of the header in front of every framed payload.
    pub const HEADER_LEN: usize = headcast_proto::HEADER_LEN;
    /// The longest message in bytes, by default and at most; it is cut into up to 1,024 datagrams.
    pub const MESSAGE_MAX: usize = headcast_proto::receiver::MESSAGE_MAX;
    /// The longest result that a response carries, in bytes: it travels in one datagram.
    pub const RESULT_MAX: usize = headcast_proto::response::RESULT_MAX;
    /// Bytes that messages which take several datagrams may take at most while they wait for the data thread.
    pub const QUEUE_BYTES_MAX: usize = 64 << 20;
    /// How many sent datagrams the ring keeps by default.
    pub const RING_DEFAULT: usize = 8192;
    /// The most datagrams that the ring keeps.
    pub const RING_MAX: usize = 1_048_576;
    /// The most copies of a message.
    pub const COPIES_MAX: usize = headcast_proto::schedule::COPIES_MAX;
    /// The most peers.
    pub const PEERS_MAX: usize = 100_000;
    /// The port that the article's programs use, for peers that name none.
    pub const PORT_DEFAULT: u16 = 12000;
    /// Where a recorder listens by default.
    pub const RECORDER_PORT_DEFAULT: u16 = 12001;
}
