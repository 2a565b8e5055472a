//! Where datagrams are dropped, as the kernel counts it.

use std::fs;

use serde::{Deserialize, Serialize};

/// The kernel's counts for all UDP sockets of this network namespace, IPv4 and IPv6 together.
///
/// From `/proc/net/snmp` and `/proc/net/snmp6` (`Documentation/networking/snmp_counter.rst`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops {
    /// Datagrams handed to the kernel.
    pub out_datagrams: u64,
    /// Datagrams handed to a socket.
    pub in_datagrams: u64,
    /// Datagrams that a send did not take: full buffers, and a queueing discipline that drops. It also counts every
    /// `EAGAIN`, so alone it proves no loss.
    pub send_buffer_errors: u64,
    /// Datagrams that were dropped because the buffer of the receiving socket was full.
    pub receive_buffer_errors: u64,
    /// Datagrams for a port on which nobody listens.
    pub no_ports: u64,
    /// Datagrams that did not reach their socket for another reason: a wrong checksum, a full queue.
    pub in_errors: u64,
}

impl Drops {
    /// What was counted so far; zeros where the kernel does not tell.
    #[must_use]
    pub fn now() -> Self {
        let v4 = fs::read_to_string("/proc/self/net/snmp").unwrap_or_default();
        let v6 = fs::read_to_string("/proc/self/net/snmp6").unwrap_or_default();
        Self::of(&v4, &v6)
    }

    /// What was counted since then.
    #[must_use]
    pub fn since(self, then: Self) -> Self {
        Self {
            out_datagrams: self.out_datagrams.wrapping_sub(then.out_datagrams),
            in_datagrams: self.in_datagrams.wrapping_sub(then.in_datagrams),
            send_buffer_errors: self.send_buffer_errors.wrapping_sub(then.send_buffer_errors),
            receive_buffer_errors: self.receive_buffer_errors.wrapping_sub(then.receive_buffer_errors),
            no_ports: self.no_ports.wrapping_sub(then.no_ports),
            in_errors: self.in_errors.wrapping_sub(then.in_errors),
        }
    }

    fn of(v4: &str, v6: &str) -> Self {
        let count = |name: &str| of_v4(v4, name) + of_v6(v6, name);
        Self {
            out_datagrams: count("OutDatagrams"),
            in_datagrams: count("InDatagrams"),
            send_buffer_errors: count("SndbufErrors"),
            receive_buffer_errors: count("RcvbufErrors"),
            no_ports: count("NoPorts"),
            in_errors: count("InErrors"),
        }
    }
}

/// A line of names, and a line of numbers below it.
fn of_v4(text: &str, name: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (Some(names), Some(counts)) = (lines.next(), lines.next()) else { return 0 };
    let counts = names.split_whitespace().zip(counts.split_whitespace());
    counts.filter(|(its, _)| *its == name).find_map(|(_, count)| count.parse().ok()).unwrap_or(0)
}

/// A line for each.
fn of_v6(text: &str, name: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp6"));
    lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_counted_together() {
        let v4 = "Ip: A B\nIp: 1 2\nUdp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\n\
                  Udp: 10 1 2 20 3 4\nUdpLite: InDatagrams\nUdpLite: 99\n";
        let v6 = "Udp6InDatagrams                 \t5\nUdp6RcvbufErrors\t7\nUdpLite6InDatagrams\t99\n";
        let drops = Drops::of(v4, v6);
        let wanted = Drops {
            out_datagrams: 20,
            in_datagrams: 15,
            send_buffer_errors: 4,
            receive_buffer_errors: 10,
            no_ports: 1,
            in_errors: 2,
        };
        assert_eq!(drops, wanted);
        assert_eq!(drops.since(drops), Drops::default());
    }

    #[test]
    fn a_datagram_that_is_sent_here_is_counted() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let before = Drops::now();
        socket.send_to(b"counted", socket.local_addr().expect("an address")).expect("sent");
        assert!(Drops::now().since(before).out_datagrams >= 1);
    }
}
