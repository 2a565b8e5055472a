//! What figures belong to.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The settings of the kernel that decide what UDP and TCP do here.
const SYSCTLS: [&str; 10] = [
    "net/core/rmem_max",
    "net/core/rmem_default",
    "net/core/wmem_max",
    "net/core/wmem_default",
    "net/core/netdev_max_backlog",
    "net/core/busy_poll",
    "net/ipv4/udp_mem",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_wmem",
    "net/ipv4/tcp_congestion_control",
];

/// A machine, as far as it decides what is measured on it. Empty where it does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The kernel's release and version.
    pub kernel: String,
    /// The model of the processor.
    pub cpu: String,
    /// Cores that the process may use.
    pub cores: usize,
    /// What the kernel does against the processor's leaks, by the leak's name, as far as there is one.
    pub mitigations: BTreeMap<String, String>,
    /// What time is read from.
    pub clock_source: String,
    /// Settings of the kernel, by name.
    pub sysctls: BTreeMap<String, String>,
    /// The network interfaces of this namespace: state, MTU and queueing discipline, by name.
    pub interfaces: BTreeMap<String, Interface>,
    /// The version of the program and the commit that it was built from.
    pub build: String,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Bytes of the largest packet.
    pub mtu: u32,
    /// Its queueing discipline; empty where `ip` is not there to tell.
    pub qdisc: String,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let version = read("/proc/sys/kernel/version");
        Self {
            kernel: format!("{} {version}", read("/proc/sys/kernel/osrelease")),
            cpu: cpu(),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            mitigations: mitigations(),
            clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            sysctls: SYSCTLS
                .iter()
                .map(|name| (name.replace('/', "."), read(&format!("/proc/sys/{name}"))))
                .collect(),
            interfaces: interfaces(),
            build: concat!(env!("CARGO_PKG_VERSION"), " ", env!("HEADCAST_COMMIT")).trim().to_owned(),
        }
    }
}

fn read(path: &str) -> String {
    // Tabs between the numbers of a setting.
    fs::read_to_string(path).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, model)| model.trim().to_owned())
}

fn mitigations() -> BTreeMap<String, String> {
    let Ok(files) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else { return BTreeMap::new() };
    let all = files.flatten().map(|file| {
        let state = read(&file.path().to_string_lossy());
        (file.file_name().to_string_lossy().into_owned(), state)
    });
    all.filter(|(_, state)| state != "Not affected").collect()
}

fn interfaces() -> BTreeMap<String, Interface> {
    let Ok(names) = fs::read_dir("/sys/class/net") else { return BTreeMap::new() };
    let qdiscs = qdiscs();
    let all = names.flatten().map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mtu = read(&entry.path().join("mtu").to_string_lossy()).parse().unwrap_or(0);
        let qdisc = qdiscs.get(&name).cloned().unwrap_or_default();
        (name, Interface { mtu, qdisc })
    });
    all.collect()
}

/// By the name of the interface. Only netlink tells them, and `ip` speaks it.
fn qdiscs() -> BTreeMap<String, String> {
    #[derive(Deserialize)]
    struct Link {
        ifname: String,
        #[serde(default)]
        qdisc: String,
    }
    let Ok(output) = Command::new("ip").args(["-json", "link", "show"]).output() else {
        return BTreeMap::new();
    };
    let links: Vec<Link> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    links.into_iter().map(|link| (link.ifname, link.qdisc)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_kernel_a_clock_and_a_loopback_interface() {
        let machine = Machine::this();
        assert!(!machine.kernel.trim().is_empty() && machine.cores > 0, "{machine:?}");
        assert!(machine.interfaces["lo"].mtu > 0, "{machine:?}");
        assert!(machine.sysctls["net.core.rmem_max"].parse::<u64>().is_ok(), "{machine:?}");
    }
}
