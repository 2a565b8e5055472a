//! By which way datagrams leave.

use headcast_udp::{Routes, Xdp};

use crate::control::{Framing, Ways};
use crate::error::BuildError;

/// By which way datagrams leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// By UDP sockets, in prepared batches.
    #[default]
    Socket,
    /// By AF_XDP where that can be had, which a log line says, else as [`Socket`](Self::Socket).
    Auto,
    /// By AF_XDP. That it cannot be had is an error. Peers that frames cannot be sent to, e.g. because their
    /// next hop is not known yet, are sent to by the sockets all the same.
    Xdp,
}

impl Backend {
    /// What finds the ways for frames, or `None` where all is to go by the sockets.
    pub(super) fn open(self, framing: Framing) -> Result<Option<Ways>, BuildError> {
        if self == Self::Socket {
            return Ok(None);
        }
        let opened = Xdp::probe().map_err(BuildError::Xdp).and_then(|()| {
            Routes::open().map_err(|error| BuildError::Os("read the routes for AF_XDP", error))
        });
        match opened {
            Ok(routes) => Ok(Some(Ways::new(routes, framing))),
            Err(error) if self == Self::Xdp => Err(error),
            Err(error) => {
                tracing::info!("all datagrams go by the socket: {error}");
                Ok(None)
            }
        }
    }
}
