//! Time, addresses, and waiting within bounds.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// The bound of everything that takes no time to speak of, on a machine that has other things to do as well.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Makes a test of each function, once for each kind of database.
macro_rules! on_each_database {
    ($($name:ident)+) => {
        mod on_sqlite {
            $(#[test] fn $name() { super::$name::<crate::database::SqliteSite>(); })+
        }
        mod on_postgresql {
            $(#[test] fn $name() { super::$name::<crate::database::PostgresSite>(); })+
        }
    };
}
pub(crate) use on_each_database;

#[expect(clippy::disallowed_methods, reason = "tests wait for real processes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits until something holds, at most for `bound`; looks every `look`.
pub(crate) fn until_within(what: &str, bound: Duration, look: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = now() + bound;
    while !holds() {
        assert!(now() < deadline, "{what}: not within {bound:?}");
        std::thread::sleep(look);
    }
}

pub(crate) fn until(what: &str, holds: impl FnMut() -> bool) {
    until_within(what, SOON, Duration::from_millis(2), holds);
}

/// An address of loopback that was free a moment ago, for who has to come back to it.
pub(crate) fn free_address() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port")
}

/// Whether the long versions are asked for.
pub(crate) fn is_full_size() -> bool {
    std::env::var_os("HEADCAST_TEST_FULL").is_some_and(|value| value == "1")
}
