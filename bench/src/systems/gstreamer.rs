//! GStreamer as a relay: `udpsrc` takes datagrams, `multiudpsink` sends each to every receiver.

use std::net::SocketAddr;
use std::process::Command;

/// The program.
pub const PROGRAM: &str = "gst-launch-1.0";
/// Bytes of socket buffers, as all others here ask for.
const BUFFER: usize = 4 << 20;

/// What starts the relay, which listens at `listen` for datagrams of up to `size` bytes.
#[must_use]
pub fn command(listen: SocketAddr, peers: &[SocketAddr], size: usize) -> Command {
    let clients: Vec<String> = peers.iter().map(SocketAddr::to_string).collect();
    let mut command = Command::new(PROGRAM);
    command.arg("-q").arg("udpsrc").arg(format!("address={}", listen.ip()));
    command.arg(format!("port={}", listen.port())).arg(format!("buffer-size={BUFFER}"));
    // Room for what comes, and no look at who sent it.
    command.arg(format!("mtu={}", size.max(1))).arg("retrieve-sender-address=false");
    // No waiting for a clock, which is for players.
    command.args(["!", "multiudpsink", "sync=false", "async=false"]);
    command.arg(format!("buffer-size={BUFFER}")).arg(format!("clients={}", clients.join(",")));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_receiver_is_a_client() {
        let peers: Vec<SocketAddr> =
            ["127.0.1.1:9", "127.0.1.2:9"].map(|peer| peer.parse().expect("an address")).into();
        let command = command("127.0.0.1:5000".parse().expect("an address"), &peers, 128);
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        assert!(arguments.contains(&"clients=127.0.1.1:9,127.0.1.2:9".into()), "{arguments:?}");
        assert!(arguments.contains(&"port=5000".into()) && arguments.contains(&"address=127.0.0.1".into()));
    }
}
