//! What a person writes: `NAME:PORT`, `1.2.3.4:PORT`, `[2001:db8::1]:PORT`, with errors that say what would
//! be right.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
};

/// The part of a target before the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name to be resolved. Not checked yet.
    Name(String),
    /// An address, which stands for itself.
    Ip(IpAddr),
}

/// Why a target was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// There is no `:PORT`.
    MissingPort(String),
    /// There is nothing before the `:`.
    EmptyName(String),
    /// An IPv6 address without brackets: where it ends and the port begins cannot be told.
    Unbracketed(String),
    /// The address or the port is not one that a datagram can be sent to.
    Peer(PeerError),
    /// The name cannot exist in DNS.
    #[cfg(feature = "dns")]
    Name(crate::NameError),
    /// A name was given, and this program was built without DNS.
    #[cfg(not(feature = "dns"))]
    NoDns(String),
}

/// Why something is not the address of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerError {
    /// Neither an address nor an address with a port.
    NotAnAddress(String),
    /// The port is not a number from 1 to 65535.
    Port(String),
    /// 0.0.0.0 or ::, which names no host.
    Unspecified(IpAddr),
    /// A group of hosts, where one is wanted.
    Multicast(IpAddr),
    /// 255.255.255.255, where one host is wanted.
    Broadcast,
}

/// Splits `NAME:PORT`, `1.2.3.4:PORT` or `[v6]:PORT`.
///
/// # Errors
/// Anything else, and an address or a port that no single host can have.
pub fn parse_target(target: &str) -> Result<(Host, u16), TargetError> {
    let target = target.trim();
    if target.parse::<Ipv6Addr>().is_ok() {
        return Err(TargetError::Unbracketed(target.to_owned()));
    }
    let (host, port) = match target.rsplit_once(':') {
        // The last colon of `[::1]` is inside the brackets.
        Some((_, port)) if port.ends_with(']') => return Err(TargetError::MissingPort(target.to_owned())),
        Some(parts) => parts,
        None => return Err(TargetError::MissingPort(target.to_owned())),
    };
    if host.is_empty() {
        return Err(TargetError::EmptyName(target.to_owned()));
    }
    let port = parse_port(port).map_err(TargetError::Peer)?;
    if host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok() {
        let peer = parse_peer(target, port).map_err(TargetError::Peer)?;
        return Ok((Host::Ip(peer.ip()), peer.port()));
    }
    if host.contains(':') {
        return Err(TargetError::Unbracketed(target.to_owned()));
    }
    Ok((Host::Name(host.to_owned()), port))
}

/// Reads the address of one peer: `ADDR`, `ADDR:PORT`, `[v6]:PORT`, `[v6]` or a bare IPv6 address. Without a
/// port it gets `default_port`. An IPv4 address in IPv6 clothes (`::ffff:10.0.0.1`) becomes the IPv4 address.
///
/// # Errors
/// Text that is no address (a name is none), port 0, and the unspecified, multicast and broadcast addresses.
pub fn parse_peer(text: &str, default_port: u16) -> Result<SocketAddr, PeerError> {
    let text = text.trim();
    let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let peer = if let Ok(ip) = unbracketed.parse::<IpAddr>() {
        SocketAddr::new(ip, default_port)
    } else if let Ok(peer) = text.parse() {
        peer
    } else {
        // Tell a wrong port from a wrong address.
        return Err(match text.rsplit_once(':') {
            Some((host, port)) if is_host(host) && !port.ends_with(']') => PeerError::Port(port.to_owned()),
            _ => PeerError::NotAnAddress(text.to_owned()),
        });
    };
    check_peer(peer)
}

/// The peer in canonical form, if a datagram to exactly one host can be sent there.
pub(crate) fn check_peer(peer: SocketAddr) -> Result<SocketAddr, PeerError> {
    let ip = peer.ip().to_canonical();
    match ip {
        _ if peer.port() == 0 => Err(PeerError::Port("0".to_owned())),
        _ if ip.is_unspecified() => Err(PeerError::Unspecified(ip)),
        _ if ip.is_multicast() => Err(PeerError::Multicast(ip)),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Err(PeerError::Broadcast),
        IpAddr::V4(_) => Ok(SocketAddr::new(ip, peer.port())),
        // A link-local address keeps its scope; the flow label is not part of an address.
        IpAddr::V6(v6) => {
            let scope = if let SocketAddr::V6(peer) = peer { peer.scope_id() } else { 0 };
            Ok(SocketAddrV6::new(v6, peer.port(), 0, scope).into())
        }
    }
}

fn is_host(host: &str) -> bool {
    host.parse::<Ipv4Addr>().is_ok()
        || host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok())
}

fn parse_port(text: &str) -> Result<u16, PeerError> {
    text.parse().ok().filter(|&port| port != 0).ok_or_else(|| PeerError::Port(text.to_owned()))
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingPort(target) => {
                write!(f, "'{target}' has no port; write NAME:PORT, for example {}:12000", example(target))
            }
            Self::EmptyName(target) => write!(f, "'{target}' has no name before the ':'; write NAME:PORT"),
            Self::Unbracketed(target) => write!(
                f,
                "'{target}' has more than one ':'; write an IPv6 address in brackets, for example [2001:db8::1]:12000"
            ),
            Self::Peer(error) => error.fmt(f),
            #[cfg(feature = "dns")]
            Self::Name(error) => error.fmt(f),
            #[cfg(not(feature = "dns"))]
            Self::NoDns(name) => {
                write!(f, "'{name}' is a name, and this program was built without DNS; use addresses")
            }
        }
    }
}

/// A name that a complaint about a missing port can be illustrated with.
fn example(target: &str) -> &str {
    if target.is_empty() { "my-service" } else { target }
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnAddress(text) => write!(
                f,
                "'{}' is not an address; write 10.0.0.1, 10.0.0.1:12000, 2001:db8::1 or [2001:db8::1]:12000",
                Quoted(text)
            ),
            Self::Port(port) => write!(f, "'{}' is not a port; use a number from 1 to 65535", Quoted(port)),
            Self::Unspecified(ip) => write!(f, "{ip} names no host; use the address of one host"),
            Self::Multicast(ip) => write!(f, "{ip} is a multicast group; use the address of one host"),
            Self::Broadcast => {
                write!(f, "255.255.255.255 is the broadcast address; use the address of one host")
            }
        }
    }
}

/// The most characters of a wrong text that a message repeats.
const QUOTE_MAX: usize = 80;

/// Text from outside, fit for one line of a log: not longer than a line, and nothing that moves a terminal.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        self.0.chars().take(QUOTE_MAX).try_for_each(|c| fmt::Write::write_char(f, shown(c)))
    }
}

impl std::error::Error for TargetError {}
impl std::error::Error for PeerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_or_an_address_with_a_port() {
        let name = |text: &str| Host::Name(text.to_owned());
        let ip = |text: &str| Host::Ip(text.parse().unwrap());
        assert_eq!(parse_target("svc.ns.svc:9000"), Ok((name("svc.ns.svc"), 9000)));
        assert_eq!(parse_target("svc.:1"), Ok((name("svc."), 1)));
        assert_eq!(parse_target(" 10.0.0.1:65535 "), Ok((ip("10.0.0.1"), 65535)));
        assert_eq!(parse_target("[2001:db8::1]:7"), Ok((ip("2001:db8::1"), 7)));
    }

    #[test]
    fn a_wrong_target_is_told_what_would_be_right() {
        let message = |target: &str| parse_target(target).unwrap_err().to_string();
        assert_eq!(message("svc"), "'svc' has no port; write NAME:PORT, for example svc:12000");
        assert_eq!(message(""), "'' has no port; write NAME:PORT, for example my-service:12000");
        assert!(message("[::1]").contains("has no port"));
        assert!(message(":9000").contains("no name before"));
        assert!(message("svc:0").contains("'0' is not a port; use a number from 1 to 65535"));
        assert!(message("svc:65536").contains("'65536' is not a port"));
        assert!(message("svc:").contains("'' is not a port"));
        assert!(message("2001:db8::1").contains("in brackets"));
        assert!(message("2001:db8::zz:9000").contains("in brackets"));
        assert!(message("[::zz]:9000").contains("is not an address"));
        assert!(message("224.0.0.1:9000").contains("multicast"));
    }

    #[test]
    fn a_peer_is_an_address_with_or_without_a_port() {
        let addr = |text: &str| Ok(text.parse().unwrap());
        assert_eq!(parse_peer("10.0.0.1", 9), addr("10.0.0.1:9"));
        assert_eq!(parse_peer("10.0.0.1:8", 9), addr("10.0.0.1:8"));
        assert_eq!(parse_peer("2001:db8::1", 9), addr("[2001:db8::1]:9"));
        assert_eq!(parse_peer("[2001:db8::1]", 9), addr("[2001:db8::1]:9"));
        assert_eq!(parse_peer("[fe80::1%3]:8", 9), addr("[fe80::1%3]:8"));
        assert_eq!(parse_peer("::ffff:10.0.0.1", 9), addr("10.0.0.1:9"));
    }

    #[test]
    fn an_address_of_no_single_host_is_no_peer() {
        assert_eq!(parse_peer("10.0.0.1:0", 9), Err(PeerError::Port("0".to_owned())));
        assert_eq!(parse_peer("10.0.0.1", 0), Err(PeerError::Port("0".to_owned())));
        assert_eq!(parse_peer("[::1]:70000", 9), Err(PeerError::Port("70000".to_owned())));
        assert_eq!(parse_peer("svc", 9), Err(PeerError::NotAnAddress("svc".to_owned())));
        assert!(matches!(parse_peer("0.0.0.0", 9), Err(PeerError::Unspecified(_))));
        assert!(matches!(parse_peer("::", 9), Err(PeerError::Unspecified(_))));
        assert!(matches!(parse_peer("ff02::1", 9), Err(PeerError::Multicast(_))));
        assert!(matches!(parse_peer("::ffff:224.0.0.1", 9), Err(PeerError::Multicast(_))));
        assert_eq!(parse_peer("255.255.255.255", 9), Err(PeerError::Broadcast));
    }
}
