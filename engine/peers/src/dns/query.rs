use std::{fmt, net::SocketAddr};

use hickory_resolver::proto::rr::Name;

/// What to ask DNS for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsQuery {
    name: String,
    /// `None`: the ports come from SRV records.
    port: Option<u16>,
    servers: Vec<SocketAddr>,
}

impl DnsQuery {
    /// The A and AAAA records of `name`; every peer has `port`.
    ///
    /// A name that ends with a dot is taken as it is. Any other is tried with the search list of
    /// `/etc/resolv.conf`, unless [`via`](Self::via) names a server. `/etc/hosts` is not read.
    ///
    /// # Errors
    /// When DNS cannot have such a name, and for port 0.
    pub fn new(name: &str, port: u16) -> Result<Self, NameError> {
        if port == 0 {
            return Err(NameError::PortZero);
        }
        check_name(name)?;
        Ok(Self { name: name.to_owned(), port: Some(port), servers: Vec::new() })
    }

    /// The SRV records of `name`, for example `_headcast._udp.my-service.my-namespace.svc.cluster.local`,
    /// each of which names a host and its port.
    ///
    /// # Errors
    /// When DNS cannot have such a name.
    pub fn srv(name: &str) -> Result<Self, NameError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), port: None, servers: Vec::new() })
    }

    /// Asks these servers instead of those of `/etc/resolv.conf`, in this order, the next if one fails. The
    /// name is then taken as it is, without a search list.
    #[must_use]
    pub fn via(mut self, servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.servers = servers.into_iter().collect();
        self
    }

    /// The name as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port of every peer; `None` if SRV records say it.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The servers to ask; none if `/etc/resolv.conf` says it.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// The names to try, in this order.
    pub(super) fn candidates(&self, search: &[Name], ndots: usize) -> Vec<Name> {
        let labels: Vec<&[u8]> = self.name.trim_end_matches('.').split('.').map(str::as_bytes).collect();
        // Its labels were checked when the query was made.
        let Ok(absolute) = Name::from_labels(labels.iter().copied()) else { return Vec::new() };
        if self.name.ends_with('.') || !self.servers.is_empty() {
            return vec![absolute];
        }
        let relative = |domain: &Name| {
            let labels = labels.iter().copied().chain(domain.iter());
            Name::from_labels(labels).ok() // too long a name is none
        };
        let mut names: Vec<Name> = search.iter().filter_map(relative).collect();
        let at = if labels.len() > ndots { 0 } else { names.len() };
        names.insert(at, absolute);
        names
    }
}

/// Why DNS cannot have a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameError {
    /// There is no name.
    Empty,
    /// Two dots in a row, or one at the start.
    EmptyLabel(String),
    /// A part between dots has more than 63 characters.
    LabelTooLong(String),
    /// The name has more than 253 characters; how many it has.
    TooLong(usize),
    /// A character that host and service names do not have.
    Character(String, char),
    /// The last part is a number: an IPv4 address that went wrong.
    Numeric(String),
    /// No datagram can be sent to port 0.
    PortZero,
}

/// RFC 1035, section 2.3.4, for the lengths; RFC 1123, section 2.1, for host names; RFC 2782 for underscores.
fn check_name(name: &str) -> Result<(), NameError> {
    let bare = name.strip_suffix('.').unwrap_or(name);
    if bare.is_empty() {
        return Err(NameError::Empty);
    }
    if bare.len() > 253 {
        return Err(NameError::TooLong(bare.len()));
    }
    for label in bare.split('.') {
        if label.is_empty() {
            return Err(NameError::EmptyLabel(name.to_owned()));
        }
        if let Some(wrong) = label.chars().find(|&c| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
            return Err(NameError::Character(name.to_owned(), wrong));
        }
        if label.len() > 63 {
            return Err(NameError::LabelTooLong(label.to_owned()));
        }
    }
    match bare.rsplit('.').next() {
        Some(last) if last.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(NameError::Numeric(name.to_owned()))
        }
        _ => Ok(()),
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name is empty; write for example my-service.my-namespace"),
            Self::EmptyLabel(name) => {
                write!(f, "'{name}' has nothing between two dots; write one dot between two parts")
            }
            Self::LabelTooLong(label) => {
                write!(f, "'{label}' has {} characters; at most 63 may be between two dots", label.len())
            }
            Self::TooLong(len) => write!(f, "the name has {len} characters; at most 253 are possible"),
            Self::Character(name, wrong) => write!(
                f,
                "'{name}' has the character {wrong:?}; a name has letters, digits, '-', '_' and '.' (others as xn--...)"
            ),
            Self::Numeric(name) => write!(
                f,
                "'{name}' is neither an IPv4 address nor a name; an address has four numbers up to 255"
            ),
            Self::PortZero => f.write_str("'0' is not a port; use a number from 1 to 65535"),
        }
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_dns_can_have_is_taken() {
        let label = "a".repeat(63);
        for name in ["svc", "svc.", "_udp._headcast.svc.ns.svc.cluster.local", "10.0.0.0.example", &label] {
            assert!(DnsQuery::new(name, 1).is_ok(), "{name}");
        }
        let longest = format!("{label}.{label}.{label}.{}", &label[..61]);
        assert!(DnsQuery::srv(&longest).is_ok() && DnsQuery::srv(&format!("{longest}.")).is_ok());
    }

    #[test]
    fn a_name_that_dns_cannot_have_is_refused_with_the_reason() {
        let message = |name: &str| DnsQuery::new(name, 1).unwrap_err().to_string();
        let label = "a".repeat(64);
        assert!(message("").contains("empty") && message(".").contains("empty"));
        assert!(message("a..b").contains("two dots") && message(".a").contains("two dots"));
        assert!(message(&label).contains("at most 63"));
        assert!(message(&"ab.".repeat(85)).contains("has 254 characters; at most 253"));
        assert!(message("my service").contains("' '") && message("bücher").contains("xn--"));
        assert!(message("10.0.0").contains("four numbers") && message("10.0.0.256").contains("four numbers"));
        assert_eq!(DnsQuery::new("svc", 0), Err(NameError::PortZero));
    }

    #[test]
    fn the_search_list_is_walked_as_the_number_of_dots_says() {
        let search = [Name::from_labels(["ns", "svc"]).unwrap(), Name::from_labels(["svc"]).unwrap()];
        let names = |query: DnsQuery| -> Vec<String> {
            query.candidates(&search, 2).iter().map(ToString::to_string).collect()
        };
        let query = |name: &str| DnsQuery::new(name, 1).unwrap();
        assert_eq!(names(query("a.b")), ["a.b.ns.svc.", "a.b.svc.", "a.b."]);
        assert_eq!(names(query("a.b.c")), ["a.b.c.", "a.b.c.ns.svc.", "a.b.c.svc."]);
        assert_eq!(names(query("a.b.")), ["a.b."]);
        assert_eq!(names(query("a").via(["127.0.0.1:53".parse().unwrap()])), ["a."]);
    }
}
