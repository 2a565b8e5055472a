//! From options to a publisher.

use std::net::IpAddr;

use headcast::peers::{DnsQuery, Source};
use headcast::{Publisher, PublisherBuilder};

use crate::args::{Sending, Target};
use crate::failure::Failure;

/// A builder with everything that these options say.
pub(crate) fn publisher(target: &Target, sending: &Sending) -> Result<PublisherBuilder, Failure> {
    let mut builder = Publisher::builder()
        .raw(sending.raw)
        .spacing(sending.spacing)
        .stream(sending.stream)
        .datagram_max(sending.datagram_max)
        .message_max(sending.message_max)
        .ring(sending.ring)
        .repair_share(sending.repair_share)
        .repair_interval(sending.repair_interval)
        .backlog(sending.backlog.into())
        .send_buffer(sending.send_buffer)
        .send_batch(sending.send_batch)
        .packing(sending.packing.is_on())
        .gso(sending.gso.is_on())
        .pass_max(sending.pass_max)
        .backend(sending.backend.into())
        .busy_poll(sending.busy_poll)
        .max_peers(target.max_peers)
        .exclude(target.exclude.iter().copied());
    if target.exclude_self {
        builder = builder.exclude(own_addresses()?);
    }
    if let Some(mode) = sending.mode {
        builder = builder.mode(mode.into());
    }
    if let Some(copies) = sending.copies {
        builder = builder.copies(copies);
    }
    if let Some(datagrams) = sending.history_max {
        builder = builder.history(datagrams);
    }
    if let Some(id) = sending.publisher_id {
        builder = builder.publisher_id(id);
    }
    if let Some(core) = sending.pin {
        builder = builder.pin(core);
    }
    if target.srv && target.source.to.is_none() {
        return Err(Failure::usage("--srv says how to look up --to, which is missing"));
    }
    Ok(if let Some(to) = &target.source.to {
        builder.source(source(to, target.srv, target.dns_server)?)
    } else if let Some(file) = &target.source.peers_file {
        builder.peers_file(file, headcast::limits::PORT_DEFAULT)
    } else {
        builder.peers(target.source.peers.iter().flatten().copied())
    })
}

/// The source that a name stands for.
pub(crate) fn source(name: &str, srv: bool, server: Option<std::net::SocketAddr>) -> Result<Source, Failure> {
    if name.contains("://") {
        return Err(Failure::usage(format!("'{name}' has a scheme; right would be NAME:PORT alone")));
    }
    if srv && name.contains(':') {
        return Err(Failure::usage(format!(
            "'{name}' has a port; with --srv the name stands alone, ports come from its record"
        )));
    }
    let source = if srv {
        Source::Dns(DnsQuery::srv(name).map_err(Failure::usage)?)
    } else {
        Source::from_target(name).map_err(Failure::usage)?
    };
    Ok(match (source, server) {
        (Source::Dns(query), Some(server)) => Source::Dns(query.via([server])),
        (source, _) => source,
    })
}

fn own_addresses() -> Result<Vec<IpAddr>, Failure> {
    let interfaces = nix::ifaddrs::getifaddrs()
        .map_err(|errno| Failure::new(format!("cannot tell the addresses of this host: {}", errno.desc())))?;
    Ok(interfaces
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        })
        .collect())
}
