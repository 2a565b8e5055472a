//! What goes wrong.

use super::World;
use super::agenda::Happening;
use crate::checks::Checked;
use crate::plan::{Fault, MS, Node};

impl World {
    pub(super) fn fault(&mut self, fault: Fault) -> Checked {
        self.story.tell(|| format!("{fault:?}"));
        match fault {
            Fault::Cut { path, there, back, for_ns } => {
                for (way, cut) in [there, back].into_iter().enumerate() {
                    if cut {
                        self.links[path][way].cut(self.now_ns + for_ns);
                    }
                }
                Ok(())
            }
            Fault::StepClock { node, by_ms } => {
                match node {
                    Node::Publisher(at) => self.publishers[at].clock_ms += by_ms,
                    Node::Subscriber(at) => self.subscribers[at].clock_ms += by_ms,
                    Node::Stranger => {}
                }
                Ok(())
            }
            Fault::Restart { node, farewell, down_ns, moves } => {
                let ended = match node {
                    Node::Publisher(at) => self.stop_publisher(at, farewell, moves),
                    Node::Subscriber(at) => self.stop_subscriber(at, moves),
                    Node::Stranger => Ok(()),
                };
                self.agenda.at(self.now_ns + down_ns, Happening::Start(node));
                ended
            }
            Fault::Leave { subscriber, told_first } => self.leave(subscriber, told_first),
            Fault::Pause { node, for_ns } => {
                self.pause(node, self.now_ns + for_ns);
                Ok(())
            }
            Fault::Flood { node, kind, count } => self.flood(node, kind, count),
        }
    }

    fn pause(&mut self, node: Node, until_ns: u64) {
        match node {
            Node::Publisher(at) => self.publishers[at].paused_until_ns = until_ns,
            Node::Subscriber(at) => self.subscribers[at].paused_until_ns = until_ns,
            Node::Stranger => {}
        }
    }

    fn stop_publisher(&mut self, at: usize, farewell: bool, moves: bool) -> Checked {
        let (now, from) = (self.now_of(Node::Publisher(at)), self.address(Node::Publisher(at)));
        if farewell && let Some(run) = &mut self.publishers[at].run {
            run.farewell(now, &mut self.out);
            self.post(from)?;
        }
        let place = &mut self.publishers[at];
        place.run = None;
        place.host += u16::from(moves);
        Ok(())
    }

    fn stop_subscriber(&mut self, at: usize, moves: bool) -> Checked {
        let now = self.now_of(Node::Subscriber(at));
        let place = &mut self.subscribers[at];
        if let Some(mut run) = place.run.take() {
            run.finish(now, &self.records, self.story)?;
            self.totals.add(&run);
        }
        if moves {
            let place = &mut self.subscribers[at];
            place.host += 1;
            place.listed = false;
            self.membership_changes();
        }
        Ok(())
    }

    fn leave(&mut self, at: usize, told_first: bool) -> Checked {
        self.subscribers[at].listed = false;
        self.membership_changes();
        if told_first {
            let then = Fault::Leave { subscriber: at, told_first: false };
            self.agenda.at(self.now_ns + 100 * MS, Happening::Fault(then));
            return Ok(());
        }
        self.subscribers[at].left = true;
        self.stop_subscriber(at, false)
    }
}
