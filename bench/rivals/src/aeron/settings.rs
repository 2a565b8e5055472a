//! How Aeron is set up: as it comes, or tuned for this machine and this load.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use headcast_bench::load::part::Task;
use rusteron_media_driver::{AeronCError, AeronDriverContext, bindings::aeron_threading_mode_enum as Mode};

use super::{c_string, failed};
use crate::invalid;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// Of its own: `AERON_MTU_LENGTH_DEFAULT`. It fits a real network's 1500 bytes, and so do all settings here.
const MTU: usize = 1_408;
/// The longest that Aeron's own backoff sleeps.
const LONGEST_SLEEP: Duration = Duration::from_millis(1);

/// What is told to the drivers and clients. [`None`] is whatever Aeron does by itself.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Bytes of a datagram's payload.
    pub(super) mtu: usize,
    /// Whether memory is touched before the run rather than in it.
    pub(super) pre_touch: bool,
    /// The longest sleep of a receiver that has nothing to do; nothing for one that only lets others run.
    pub(super) longest_sleep: Duration,
    /// The flow control of the publication.
    flow_control: Option<String>,
    /// What is different for the drivers.
    tuning: Option<Tuning>,
}

#[derive(Clone, Debug)]
struct Tuning {
    threading: Mode,
    /// For the threads of the driver: `spins-yields-shortest-longest`, the last two in nanoseconds.
    backoff: String,
    /// Bytes of each of a log's three parts.
    term: usize,
    /// Bytes that a receiver may be behind.
    window: usize,
    /// Bytes of a socket's buffers.
    socket: usize,
    /// Datagrams for one system call.
    batch: u32,
    group: usize,
}

impl Settings {
    /// Those of a task's system; its options change single ones, by name.
    pub(super) fn of(task: &Task) -> io::Result<Self> {
        let options = &task.options;
        if task.system == "aeron" {
            return Ok(Self {
                mtu: MTU,
                pre_touch: false,
                longest_sleep: LONGEST_SLEEP,
                flow_control: options.get("flow-control").cloned(),
                tuning: None,
            });
        }
        let threading = match options.get("threading").map(String::as_str) {
            None | Some("shared") => Mode::AERON_THREADING_MODE_SHARED,
            Some("dedicated") => Mode::AERON_THREADING_MODE_DEDICATED,
            Some("shared-network") => Mode::AERON_THREADING_MODE_SHARED_NETWORK,
            Some(other) => {
                return Err(invalid(format!(
                    "threading '{other}': it is shared, shared-network or dedicated"
                )));
            }
        };
        let longest_ns = number(options, "longest-sleep-ns", 50_000_u64)?;
        Ok(Self {
            mtu: MTU,
            pre_touch: true,
            longest_sleep: Duration::from_nanos(longest_ns),
            flow_control: Some(options.get("flow-control").cloned().unwrap_or_else(|| "max".into())),
            tuning: Some(Tuning {
                threading,
                backoff: format!("10-20-1000-{}", longest_ns.max(1_000)),
                term: number(options, "term", 4 * MIB)?,
                window: number(options, "window", MIB)?,
                socket: number(options, "socket-buffer", 4 * MIB)?,
                batch: number(options, "batch", 16)?,
                group: task.receivers,
            }),
        })
    }

    /// Whether anything is other than Aeron has it by itself.
    pub(super) fn is_tuned(&self) -> bool {
        self.tuning.is_some()
    }

    /// The publication's channel.
    pub(super) fn channel(&self) -> String {
        let flow_control = self.flow_control.as_ref().map(|name| format!("|fc={name}")).unwrap_or_default();
        format!("aeron:udp?control-mode=manual{flow_control}")
    }

    /// Bytes of all three parts of a log.
    pub(super) fn log(&self) -> usize {
        3 * self.tuning.as_ref().map_or(16 * MIB, |tuning| tuning.term)
    }

    /// Tells a driver.
    pub(super) fn apply(&self, context: &AeronDriverContext) -> io::Result<()> {
        let Some(tuning) = &self.tuning else { return Ok(()) };
        tuning.apply(context)
    }
}

impl Tuning {
    fn apply(&self, context: &AeronDriverContext) -> io::Result<()> {
        let socket = self.socket.min(receive_buffer_max()?);
        // Aeron refuses a window that its socket has no room for.
        let window = self.window.min(socket);
        let backoff = c_string(self.backoff.clone())?;
        let all = || -> Result<(), AeronCError> {
            context.set_threading_mode(self.threading)?;
            for set in [
                AeronDriverContext::set_conductor_idle_strategy_init_args,
                AeronDriverContext::set_sender_idle_strategy_init_args,
                AeronDriverContext::set_receiver_idle_strategy_init_args,
                AeronDriverContext::set_sharednetwork_idle_strategy_init_args,
                AeronDriverContext::set_shared_idle_strategy_init_args,
            ] {
                set(context, &backoff)?;
            }
            for set in [
                AeronDriverContext::set_conductor_idle_strategy,
                AeronDriverContext::set_sender_idle_strategy,
                AeronDriverContext::set_receiver_idle_strategy,
                AeronDriverContext::set_sharednetwork_idle_strategy,
                AeronDriverContext::set_shared_idle_strategy,
            ] {
                set(context, c"backoff")?;
            }
            // The group that shares repairs is the real one, and small enough to answer soon.
            context.set_nak_multicast_group_size(self.group)?;
            context.set_nak_multicast_max_backoff_ns(500_000)?;
            // A second request for what was repeated less than so long ago is not served.
            context.set_retransmit_unicast_linger_ns(2_000_000)?;
            context.set_max_resend(256)?;
            context.set_socket_so_rcvbuf(socket)?;
            context.set_socket_so_sndbuf(socket)?;
            context.set_rcv_initial_window_length(window)?;
            context.set_term_buffer_length(self.term)?;
            // All memory is there before the run.
            context.set_term_buffer_sparse_file(false)?;
            context.set_sender_io_vector_capacity(self.batch)?;
            context.set_receiver_io_vector_capacity(self.batch)?;
            context.set_network_publication_max_messages_per_send(self.batch)?;
            Ok(())
        };
        all().map_err(|error| failed("a setting of the driver", &error))
    }
}

/// The largest buffer that a socket gets here, at most what anybody asks for.
fn receive_buffer_max() -> io::Result<usize> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    socket.set_recv_buffer_size(64 * MIB)?;
    // The kernel says twice of what it gives, for its own use.
    Ok((socket.recv_buffer_size()? / 2).max(64 * KIB))
}

fn number<T: FromStr<Err: Display>>(
    options: &BTreeMap<String, String>,
    name: &str,
    usual: T,
) -> io::Result<T> {
    let Some(text) = options.get(name) else { return Ok(usual) };
    text.parse().map_err(|error| invalid(format!("{name} is '{text}': {error}")))
}
