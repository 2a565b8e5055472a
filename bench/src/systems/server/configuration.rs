//! What each server is told: what is best for messages that are for whoever is there, and nothing that decides anything
//! else. What is not said is as the server has it by default.

use std::path::Path;

use super::Broker;

/// The text of its configuration file.
pub(super) fn of(broker: Broker, port: u16, directory: &Path) -> String {
    let port = port.to_string();
    let root = if nix::unistd::geteuid().is_root() { "user root" } else { "" };
    let template = match broker {
        Broker::Redis => REDIS,
        Broker::Nats => NATS,
        Broker::Mosquitto => MOSQUITTO,
    };
    template
        .replace("{port}", &port)
        .replace("{directory}", &directory.display().to_string())
        .replace("{root}", root)
}

const REDIS: &str = r#"# redis.conf of the Debian package explains each of them.
bind 127.0.0.1
port {port}
dir "{directory}"
daemonize no
# Only problems: a line for each client is work.
loglevel warning
# Nothing is stored, so nothing is written to disk, and no process is forked for it.
save ""
appendonly no
# By default a subscriber that is 32 MB behind, or 8 MB for a minute, is disconnected. A burst is to be a latency here
# and no loss.
client-output-buffer-limit pubsub 0 0 0
# No probes on idle connections.
tcp-keepalive 0
"#;

const NATS: &str = r#"# https://docs.nats.io/running-a-nats-service/configuration
listen: "127.0.0.1:{port}"
# By default a subscriber that is 64 MB behind is disconnected. A burst is to be a latency here and no loss.
max_pending: 1073741824
# The same for a write to it that takes long; this is the default.
write_deadline: "10s"
# This is the default, and more than is ever sent.
max_payload: 1048576
"#;

const MOSQUITTO: &str = r"# mosquitto.conf(5)
listener {port} 127.0.0.1
# Since 2.0 nobody may connect who is not known, unless this is said.
allow_anonymous true
# Nothing is stored.
persistence false
# By default messages of QoS 0 are dropped for a subscriber that is 1000 of them behind. A burst is to be a latency
# here and no loss.
max_queued_messages 0
# A message does not wait for the one after it; the default is to let it wait.
set_tcp_nodelay true
# No reports of its own between the messages.
sys_interval 0
log_dest stderr
# Only problems: a line for each client is work.
log_type error
connection_messages false
# It becomes another user if it is not told to stay the one who owns the directory.
{root}
";
