//! What a trial costs: time of the cores, and bytes on the wire.

use std::fs;

/// Ticks of a second in `/proc/PID/stat`: the kernel tells times to programs in this unit on every architecture.
const USER_HZ: f64 = 100.0;

/// Seconds of a core that a process took so far, all its threads together; 0 if there is none.
///
/// `/proc/PID/stat` has whole hundredths, and also threads that have ended; `schedstat` has nanoseconds. Both count the same,
/// so the greater one is the better.
pub(super) fn cpu_s(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let ns: u64 = threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    of_stat(&stat).max(ns as f64 / 1e9)
}

/// `utime` and `stime` (`proc_pid_stat(5)`): fields 14 and 15, counted behind the name, which may hold anything.
fn of_stat(stat: &str) -> f64 {
    let Some((_, fields)) = stat.rsplit_once(')') else { return 0.0 };
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    ticks.sum::<u64>() as f64 / USER_HZ
}

/// Ethernet's header, which loopback has and does not count.
const ETHERNET: u64 = 14;
/// The headers of IPv4 and of TCP with its timestamps.
const TCP_IP: u64 = 20 + 32;
/// The headers of IPv4 and of UDP.
pub(super) const UDP_IP: u64 = 20 + 8;
/// The MTU with which loopback is like an Ethernet.
const MTU: u32 = 1500;

/// What loopback has carried so far.
///
/// What would be on an Ethernet's wire follows from it, without preamble, checksum and gap. TCP hands several segments to
/// loopback as one packet (TSO), whose headers are counted once: each further segment has headers of its own. And each
/// segment and each datagram has Ethernet's header:
///
/// `bytes + (segments - tcp packets) * 52 + (datagrams - udp packets) * 28 + (segments + datagrams) * 14`, where TCP's
/// packets are all that are not UDP's, and UDP's are as many as the kernel counts datagrams: of those that go to a peer as
/// one send (GSO) it counts one.
///
/// With a datagram longer than the MTU it is a little more than that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wire {
    /// Bytes of IP packets.
    bytes: u64,
    packets: u64,
    /// Of UDP, those that go to a peer as one send as one.
    datagrams: u64,
    /// Of TCP, acknowledgements included, without those sent again.
    segments: u64,
}

impl Wire {
    /// So far; `None` when loopback's MTU is not an Ethernet's, or it does not tell.
    pub(super) fn now() -> Option<Self> {
        let mtu = fs::read_to_string("/sys/class/net/lo/mtu").ok()?;
        let devices = fs::read_to_string("/proc/self/net/dev").ok()?;
        let snmp = fs::read_to_string("/proc/self/net/snmp").ok()?;
        (mtu.trim().parse() == Ok(MTU)).then(|| Self::of(&devices, &snmp)).flatten()
    }

    fn of(devices: &str, snmp: &str) -> Option<Self> {
        let counts = devices.lines().find_map(|line| line.trim_start().strip_prefix("lo:"))?;
        let mut counts = counts.split_whitespace().map(str::parse);
        let (bytes, packets) = (counts.next()?.ok()?, counts.next()?.ok()?);
        let datagrams = counter(snmp, "Udp:", "OutDatagrams")?;
        let segments = counter(snmp, "Tcp:", "OutSegs")?;
        Some(Self { bytes, packets, datagrams, segments })
    }

    /// Bytes on the wire since then, when there were at least so many datagrams.
    pub(super) fn since(self, then: Self, datagrams: u64) -> u64 {
        let udp_packets = self.datagrams.saturating_sub(then.datagrams);
        let datagrams = datagrams.max(udp_packets);
        let segments = self.segments.saturating_sub(then.segments);
        let tcp_packets = self.packets.saturating_sub(then.packets).saturating_sub(udp_packets);
        self.bytes.saturating_sub(then.bytes)
            + segments.saturating_sub(tcp_packets) * TCP_IP
            + (datagrams - udp_packets) * UDP_IP
            + (segments + datagrams) * ETHERNET
    }

    /// Bytes that so many datagrams of so many bytes take.
    pub(super) fn of_datagrams(count: u64, size: usize) -> u64 {
        count * (size as u64 + UDP_IP + ETHERNET)
    }
}

/// A line of names, and a line of numbers below it (`/proc/net/snmp`).
fn counter(snmp: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix(protocol));
    let (names, counts) = (lines.next()?, lines.next()?);
    let mut both = names.split_whitespace().zip(counts.split_whitespace());
    both.find(|(its, _)| *its == name).and_then(|(_, count)| count.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEV: &str = "Inter-|   Receive\n face |bytes    packets errs\n  eth0: 9 9 0\n    lo: 5000 40 0 0 0 0 0 0 5000 40\n";
    const SNMP: &str = "Ip: A\nIp: 1\nTcp: InSegs OutSegs RetransSegs\nTcp: 1 50 3\n\
                        Udp: InDatagrams NoPorts OutDatagrams\nUdp: 8 0 10\n";

    #[test]
    fn segments_that_travelled_together_have_headers_of_their_own() {
        let now = Wire::of(DEV, SNMP).expect("counts");
        assert_eq!(now, Wire { bytes: 5_000, packets: 40, datagrams: 10, segments: 50 });
        // 30 packets of TCP held 50 segments.
        assert_eq!(now.since(Wire::default(), 0), 5_000 + 20 * 52 + 60 * 14);
        assert_eq!(now.since(now, 0), 0);
        let datagram = Wire { bytes: 128 + 28, packets: 1, datagrams: 1, segments: 0 };
        assert_eq!(datagram.since(Wire::default(), 1), Wire::of_datagrams(1, 128));
    }

    #[test]
    fn so_have_datagrams_that_were_one_send() {
        let train = Wire { bytes: 16 * 128 + 28, packets: 1, datagrams: 1, segments: 0 };
        assert_eq!(train.since(Wire::default(), 16), Wire::of_datagrams(16, 128));
    }

    #[test]
    fn a_process_may_be_called_anything() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 11 12";
        assert!((of_stat(stat) - 2.0).abs() < 1e-9);
        assert!(of_stat("") < 1e-9);
    }

    #[test]
    fn what_this_process_takes_is_counted() {
        let before = cpu_s(std::process::id());
        let mut sum = 0u64;
        while cpu_s(std::process::id()) < before + 0.02 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(before > 0.0 && cpu_s(u32::MAX) < 1e-9);
    }
}
