//! What nodes send one another.

use std::rc::Rc;

use crate::plan::Node;

/// Where a node is reached. After it has moved, its old address is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) node: Node,
    pub(crate) host: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    First,
    Later,
    Repair,
    Heartbeat,
    End,
    Request,
}

/// A datagram on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) to: Address,
    pub(crate) bytes: Rc<[u8]>,
    pub(crate) purpose: Purpose,
}
